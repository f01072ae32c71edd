"""Load by h2load: so many requests, what came back, how long each took."""

import math
import re
import subprocess
from array import array
from dataclasses import dataclass

from .scenarios import HOST

INACTIVITY = 15  # seconds without anything on a connection until it counts as failed


@dataclass
class Load:
    """What one run of the load generator came to."""

    requests: int
    seconds: float
    p50: float  # microseconds
    p99: float
    failed: int
    problem: str  # why this does not count; empty if it does
    cipher: str


def command(scenario, port, requests, folder):
    """The command line of h2load."""
    scheme = "https" if scenario.tls else "http"
    line = ["h2load", "-t1", f"-n{requests}", f"-c{min(scenario.connections, requests)}", f"-m{scenario.streams}"]
    line += [f"-N{INACTIVITY}s", f"--connect-to=127.0.0.1:{port}", f"--log-file={folder / 'load.tsv'}"]
    # The windows of a browser, not those of a benchmark.
    line += ["-w21", "-W24"]
    if scenario.protocol == "h1":
        line += ["--h1"]
    if scenario.protocol == "grpc":
        line += [f"-d{folder / 'message'}", "-H", "content-type: application/grpc", "-H", "te: trailers"]
    if scenario.new_connections:
        line += ["-H", "Connection: close"]
    return [*line, f"{scheme}://{HOST}:{port}{scenario.path}"]


def run(site, scenario, port, requests):
    """Sends the requests; a run that lasts too long is ended and does not count."""
    log = site.folder / "load.tsv"
    log.unlink(missing_ok=True)
    limit = 60 + requests * scenario.octets / 2e7 + requests / 500
    process = site.children.start(
        command(scenario, port, requests, site.folder), site.load_cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        text = process.communicate(timeout=limit)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        return Load(requests, limit, math.nan, math.nan, requests, f"not done after {limit:.0f} s", "")
    finally:
        site.children.stop(process)
    if process.returncode:
        return Load(requests, math.nan, math.nan, math.nan, requests, f"h2load: {text.strip()[-200:]}", "")
    return judged(scenario, requests, text, read_durations(log))


def judged(scenario, requests, text, durations):
    """Reads h2load's summary. All answers have to be 2xx and as long as they should be."""
    seconds = duration(text)
    succeeded = number(r"(\d+) 2xx", text)
    octets = number(r"headers \(.*?\), .*?\((\d+)\) data", text)
    failed = requests - min(succeeded, number(r"(\d+) succeeded", text))
    problem = ""
    if failed:
        codes = re.search(r"status codes: (.*)", text)
        problem = f"{failed} of {requests} failed ({codes.group(1) if codes else 'no answer'})"
    elif octets != requests * scenario.octets:
        problem = f"{octets} octets of content instead of {requests * scenario.octets}"
        failed = requests - octets // scenario.octets if scenario.octets else 0
    cipher = " ".join(re.findall(r"^(?:TLS Protocol|Cipher|Server Temp Key): (.*)$", text, re.MULTILINE))
    p50, p99 = (percentile(durations, part) for part in (0.5, 0.99))
    return Load(requests, seconds, p50, p99, failed, problem, cipher)


def duration(text):
    found = re.search(r"finished in ([\d.]+)(us|ms|s|m)\b", text)
    if not found:
        return math.nan
    return float(found.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[found.group(2)]


def number(pattern, text):
    found = re.search(pattern, text)
    return int(found.group(1)) if found else 0


def read_durations(path):
    """The microseconds of each request that succeeded, sorted."""
    durations = array("Q")
    if path.exists():
        with path.open() as lines:
            fields = (line.split("\t") for line in lines)
            durations.extend(int(took) for _, status, took, *_ in fields if status[:1] == "2")
    return sorted(durations)


def percentile(durations, part):
    """The smallest duration that so many of all are within."""
    if not durations:
        return math.nan
    return float(durations[max(math.ceil(part * len(durations)) - 1, 0)])
