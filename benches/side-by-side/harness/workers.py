"""Two workers on two cores, which load and backends share, beside one worker; and how evenly two workers share."""

import re
import statistics
import urllib.request

from . import load
from .processes import cpu_seconds, thread_seconds
from .proxies import Proxy
from .report import table
from .scenarios import BY_NAME

SCENARIOS = ("http1", "https2")  # the second has 8 connections


def measure(site, rounds, wanted, say):
    """{scenario: {one, two: microseconds by round, balance: busier to other by round, by: what was counted}}."""
    everywhere = site.load_cpus | site.proxy_cpus
    if len(everywhere) < 2:
        raise SystemExit("workers: two CPUs are needed")
    results = {}
    for scenario in (BY_NAME[name] for name in SCENARIOS):
        proxies = {"one": Proxy(site, "portcullis"), "two": Proxy(site, "portcullis", everywhere)}
        requests = scenario.requests(wanted)
        result = results[scenario.name] = {"one": [], "two": [], "balance": [], "by": "", "problem": ""}
        try:
            for number in range(rounds + 1):
                for which, proxy in proxies.items():
                    say(f"workers: {scenario.name}, round {number} of {rounds}, {which}")
                    play(site, scenario, proxy, requests if number else requests // 20, which, result, number > 0)
        finally:
            for proxy in proxies.values():
                proxy.stop()
    return results


def play(site, scenario, proxy, requests, which, result, counts):
    before, shares = cpu_seconds(proxy.pid), work(proxy)
    sent = load.run(site, scenario, proxy.port(scenario), requests)
    if sent.problem:
        result["problem"] = sent.problem
    if not counts or result["problem"]:
        return
    result[which].append((cpu_seconds(proxy.pid) - before) / requests * 1e6)
    if which == "two":
        kind, after = work(proxy)
        done = [after[name] - shares[1].get(name, 0) for name in after]
        result["by"] = kind
        if len(done) < 2 or not min(done):
            result["problem"] = f"{kind} by worker: {done}"
        else:
            result["balance"].append(max(done) / min(done))


def work(proxy):
    """What each worker has done: its requests where the metrics tell them, else its CPU time."""
    with urllib.request.urlopen(f"http://{proxy.admin}/metrics", timeout=10) as response:
        text = response.read().decode()
    told = re.findall(r'^\w+_worker_requests(?:_total)?\{worker="([^"]+)"\} (\d+)', text, re.MULTILINE)
    if told:
        return "requests", {name: int(count) for name, count in told}
    return "CPU time", {name: used for name, used in thread_seconds(proxy.pid) if name.startswith("worker-")}


def lines(results):
    rows = []
    for name, result in results.items():
        title = BY_NAME[name].title
        if result["problem"]:
            rows.append([title, f"failed: {result['problem']}", "", "", ""])
            continue
        one, two = statistics.median(result["one"]), statistics.median(result["two"])
        pairs = [mine / other for mine, other in zip(result["two"], result["one"])]
        ratio = f"{statistics.median(pairs):.2f} ({min(pairs):.2f}..{max(pairs):.2f})"
        even = result["balance"]
        balance = f"{statistics.median(even):.2f} ({min(even):.2f}..{max(even):.2f})"
        rows.append([title, f"{one:.1f} µs", f"{two:.1f} µs", ratio, f"{balance}, by {result['by']}"])
    head = ["scenario", "one worker", "two workers", "ratio", "busier to other worker"]
    return ["CPU per request of Portcullis; load and backends share the cores of two workers.", "", *table(head, rows)]
