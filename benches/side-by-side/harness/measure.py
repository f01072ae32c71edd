"""Rounds: each proxy in turn, so that whatever slows the machine for a while slows all of them."""

import statistics
from dataclasses import asdict, dataclass

from . import load
from .processes import cpu_seconds, resident
from .proxies import NAMES, Proxy, check_alike

WARM_UP = 20  # a round's requests divided by this go ahead


@dataclass
class Round:
    """One proxy in one round."""

    requests_per_second: float
    p50_us: float
    p99_us: float
    cpu_us: float  # of the proxy, per request
    resident_mib: float
    cpu_share: float  # of the proxy's core: near 1 where the proxy was the bottleneck


METRICS = tuple(Round.__dataclass_fields__)


@dataclass
class Cell:
    """One proxy in one scenario: all rounds, or why there is no figure."""

    rounds: list
    problem: str = ""
    failed_requests: int = 0
    cipher: str = ""

    @property
    def valid(self):
        return bool(self.rounds) and not self.problem

    def median(self, metric):
        return statistics.median(getattr(each, metric) for each in self.rounds)

    def spread(self, metric):
        values = [getattr(each, metric) for each in self.rounds]
        return min(values), max(values)

    def as_json(self):
        if not self.valid:
            return {"valid": False, "problem": self.problem, "failed_requests": self.failed_requests}
        spread = {metric: dict(zip(("min", "max"), self.spread(metric))) for metric in METRICS}
        summary = {metric: {"median": self.median(metric)} | spread[metric] for metric in METRICS}
        rounds = [asdict(each) for each in self.rounds]
        return {"valid": True, "failed_requests": 0, "cipher": self.cipher, "summary": summary, "rounds": rounds}


def play(site, scenario, rounds, wanted, say):
    """Plays a scenario with fresh proxies, and returns a cell for each of them."""
    proxies = [Proxy(site, name) for name in NAMES]
    try:
        check_alike(proxies)
        cells = {proxy.name: warmed_up(site, scenario, proxy, wanted) for proxy in proxies}
        for number in range(rounds):
            for proxy in proxies:
                cell = cells[proxy.name]
                if not cell.problem:
                    say(f"{scenario.name}: round {number + 1} of {rounds}, {proxy.name}")
                    play_round(site, scenario, proxy, scenario.requests(wanted), cell)
    finally:
        for proxy in proxies:
            proxy.stop()
    return cells


def warmed_up(site, scenario, proxy, wanted):
    """A first load that is not measured; a proxy that cannot do it is not asked again."""
    first = load.run(site, scenario, proxy.port(scenario), scenario.requests(wanted / WARM_UP))
    return Cell([], first.problem, first.failed, first.cipher)


def play_round(site, scenario, proxy, requests, cell):
    before = cpu_seconds(proxy.pid)
    sent = load.run(site, scenario, proxy.port(scenario), requests)
    used = cpu_seconds(proxy.pid) - before
    cell.failed_requests += sent.failed
    if sent.problem:
        cell.problem = sent.problem
        return
    cell.rounds.append(
        Round(
            requests_per_second=requests / sent.seconds,
            p50_us=sent.p50,
            p99_us=sent.p99,
            cpu_us=used / requests * 1e6,
            resident_mib=resident(proxy.pid) / 2**20,
            cpu_share=used / sent.seconds,
        )
    )


def ratios(cells, metric, own="portcullis"):
    """Portcullis to the better of the others and to each, by round: {name: {median, min, max}}.

    Rounds are compared in pairs: the two halves of a pair saw the same machine. Which of the others is the better one
    is decided by its median, once for all rounds.
    """
    others = {name: cell for name, cell in cells.items() if name != own and cell.valid}
    if not others or not cells[own].valid:
        return {}
    more_is_better = metric == "requests_per_second"
    best = (max if more_is_better else min)(others, key=lambda name: others[name].median(metric))
    against = {name: paired(cells[own], cell, metric) for name, cell in others.items()}
    return {"better": best, "to_better": against[best]} | {f"to_{name}": ratio for name, ratio in against.items()}


def paired(cell, other, metric):
    pairs = [
        getattr(mine, metric) / getattr(theirs, metric)
        for mine, theirs in zip(cell.rounds, other.rounds)
        if getattr(theirs, metric)
    ]
    if not pairs:
        return None
    return {"median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}
