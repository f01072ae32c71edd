"""Where a proxy's time goes: `perf` by symbol, `strace` by system call."""

import re
import signal
import subprocess
import time

from . import load
from .processes import tree
from .proxies import Proxy
from .scenarios import BY_NAME

SYMBOLS = 40


def measure(site, name, scenario_name, requests, say):
    """A text with both."""
    scenario = BY_NAME[scenario_name]
    proxy = Proxy(site, name)
    pid = tree(proxy.pid)[-1]  # the worker of nginx, the only process of the others
    try:
        must(load.run(site, scenario, proxy.port(scenario), scenario.requests(requests / 10)))
        say(f"profile: {scenario.name}, {name}, perf")
        data = site.folder / "perf.data"
        command = ["perf", "record", "-e", "cpu-clock", "-F", "1999", "-g", "-o", data, "-p", str(pid)]
        watched(site, command, scenario, proxy, scenario.requests(requests))
        symbols = report(data, "-g", "none", "--no-children", "--sort", "dso,symbol")
        say(f"profile: {scenario.name}, {name}, strace")
        calls = site.folder / "strace.txt"
        command = ["strace", "-c", "-f", "-o", calls, "-p", str(pid)]
        traced = scenario.requests(requests / 20)
        watched(site, command, scenario, proxy, traced)
    finally:
        proxy.stop()
    title = f"{name}, {scenario.title}"
    return f"# {title}\n\n{symbols}\n\nSystem calls of {traced} requests:\n\n{per_request(calls.read_text(), traced)}\n"


def watched(site, command, scenario, proxy, requests):
    """Runs a load while the command watches the proxy."""
    watcher = site.children.start(command, site.load_cpus, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    must(load.run(site, scenario, proxy.port(scenario), requests))
    watcher.send_signal(signal.SIGINT)
    watcher.wait(30)
    site.children.stop(watcher)


def must(sent):
    if sent.problem:
        raise RuntimeError(sent.problem)


def report(data, *options):
    """The symbols with the most samples of their own."""
    command = ["perf", "report", "-i", data, "--stdio", "--percent-limit", "0.3", *options]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    rows = [line.rstrip() for line in text.splitlines() if re.match(r"\s+\d+\.\d+%", line)]
    return "\n".join(rows[:SYMBOLS])


def per_request(text, requests):
    """strace's table as calls per request."""
    rows = []
    for line in text.splitlines():
        found = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?([a-z]\w+)$", line)
        if found and found.group(3) != "total":
            calls, errors = int(found.group(1)), int(found.group(2) or 0)
            vain = f" ({errors / requests:.3f} in vain)" if errors else ""
            rows.append(f"{calls / requests:8.3f}  {found.group(3)}{vain}")
    return "\n".join(rows)
