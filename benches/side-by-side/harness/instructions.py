"""Instructions per request of Portcullis under callgrind, with and without the access log."""

import re
import subprocess

from . import load
from .processes import wait_for
from .proxies import Proxy
from .report import table
from .scenarios import BY_NAME

FIRST = 500  # requests that are not counted


def measure(site, scenario_name, requests, say):
    """{access log on: instructions per request}."""
    scenario = BY_NAME[scenario_name]
    results = {}
    for access_log in (False, True):
        say(f"instructions: {scenario.name}, access log {'on' if access_log else 'off'}")
        results[access_log] = count(site, scenario, requests, access_log)
    return results


def count(site, scenario, requests, access_log):
    out = site.folder / f"callgrind.{'on' if access_log else 'off'}"
    prefix = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-instr=no", "--separate-threads=no"]
    proxy = Proxy(site, "portcullis", prefix=prefix, access_log=access_log)
    try:
        must(load.run(site, scenario, proxy.port(scenario), FIRST))
        control(proxy, "--zero")
        must(load.run(site, scenario, proxy.port(scenario), requests))
        control(proxy, "--dump")
    finally:
        proxy.stop()
    # The first dump ends with --dump; a second is written at the end of the program.
    dumped = wait_for("callgrind", lambda: sorted(site.folder.glob(f"{out.name}.1")))[0]
    total = re.search(r"^(?:summary|totals): (\d+)", dumped.read_text(), re.MULTILINE)
    return int(total.group(1)) / requests


def must(sent):
    if sent.problem:
        raise RuntimeError(sent.problem)


def control(proxy, what):
    subprocess.run(["callgrind_control", what, str(proxy.pid)], check=True, stdout=subprocess.DEVNULL, timeout=60)


def lines(results, scenario_name):
    off, on = results[False], results[True]
    rows = [["off", f"{off:,.0f}", ""], ["on", f"{on:,.0f}", f"{on / off - 1:+.1%}"]]
    head = ["access log", "instructions per request", "difference"]
    return [f"{BY_NAME[scenario_name].title}, counted by callgrind.", "", *table(head, rows)]
