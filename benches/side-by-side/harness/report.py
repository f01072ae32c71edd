"""The figures as tables and as JSON."""

from .measure import METRICS, ratios
from .proxies import NAMES
from .scenarios import BY_NAME

TITLES = {"portcullis": "Portcullis", "nginx": "nginx", "haproxy": "HAProxy"}
BUSY = 0.5  # load average before the run, above which its figures are called rough
COLUMNS = ("req/s", "p50", "p99", "CPU/request", "min..max", "resident", "core used")


def comparison(results):
    """{scenario: {proxy: cell}} with all ratios, for the JSON file."""
    return {
        name: {
            "title": BY_NAME[name].title,
            "octets": BY_NAME[name].octets,
            "proxies": {proxy: cell.as_json() for proxy, cell in cells.items()},
            "ratios": {metric: ratios(cells, metric) for metric in METRICS},
        }
        for name, cells in results.items()
    }


def tables(results, extras=()):
    """Markdown: the ratios of all scenarios, then every figure, then `extras` as (title, lines)."""
    parts = []
    if results:
        about = "Median of the rounds' ratios, and their spread. The better one has the better median of all rounds."
        parts.append(("Portcullis to the others", [about, "", *summary(results)]))
        about = "Medians of the rounds; `min..max` is the spread of CPU per request."
        parts.append(("Every figure", [about, "", *details(results)]))
    return "\n".join("\n".join([f"## {title}", "", *lines, ""]) for title, lines in [*parts, *extras])


def summary(results):
    """CPU per request decides; the rest says what it means for those who wait."""
    head = ["scenario", "CPU to the better", "to nginx", "to HAProxy", "req/s to the better", "p99 to the better"]
    rows = []
    for name, cells in results.items():
        cpu, rate, p99 = (ratios(cells, metric) for metric in ("cpu_us", "requests_per_second", "p99_us"))
        row = [ratio_text(cpu.get(f"to_{which}")) for which in ("better", "nginx", "haproxy")]
        row += [ratio_text(each.get("to_better")) for each in (rate, p99)]
        rows.append([BY_NAME[name].title, *row])
    return table(head, rows)


def details(results):
    rows = []
    for name, cells in results.items():
        for proxy in NAMES:
            rows.append([BY_NAME[name].title, proxy, *figures(cells[proxy])])
    return table(["scenario", "proxy", *COLUMNS], rows)


def figures(cell):
    if not cell.valid:
        return [f"failed: {cell.problem}"] + [""] * (len(COLUMNS) - 1)
    low, high = cell.spread("cpu_us")
    return [
        f"{cell.median('requests_per_second'):,.0f}",
        time_text(cell.median("p50_us")),
        time_text(cell.median("p99_us")),
        time_text(cell.median("cpu_us")),
        f"{low:.1f}..{high:.1f} µs",
        f"{cell.median('resident_mib'):.1f} MiB",
        f"{cell.median('cpu_share'):.0%}",
    ]


def ratio_text(ratio):
    return f"{ratio['median']:.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})" if ratio else "–"


def time_text(microseconds):
    return f"{microseconds:.1f} µs" if microseconds < 1000 else f"{microseconds / 1000:.2f} ms"


def table(head, rows):
    """A table in Markdown."""
    return [row_text(head), row_text(["---"] * len(head)), *map(row_text, rows)]


def row_text(cells):
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def caption(machine, versions, parameters):
    """One line on what was compared where."""
    proxies = ", ".join(f"{title} {versions[name]}" for name, title in TITLES.items())
    kind = "virtual machine" if machine["virtual"] else "machine"
    rounds = f"medians of {parameters['rounds']} rounds of {parameters['requests']:,} requests (fewer where large)"
    busy = f"; ROUGH: the machine was busy (load {machine['load_before']})" if machine["load_before"] > BUSY else ""
    return f"{proxies}; {kind}, {machine['cpus']} CPUs, {machine['cpu']}; {rounds}{busy}"


def heading(machine, versions, parameters):
    """The first lines of the file with the tables."""
    system = f"{machine['system']}, Linux {machine['kernel']}, {machine['memory_gib']} GiB"
    return f"# Side by side\n\n{caption(machine, versions, parameters)}; {system}.\n\n"
