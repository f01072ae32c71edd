"""The chart of the README, as SVG without a library."""

import textwrap
from html import escape

from .proxies import NAMES
from .report import TITLES, time_text
from .scenarios import BY_NAME

COLOURS = {"portcullis": "#1f5fa8", "nginx": "#8fbc8f", "haproxy": "#d9a066"}
LEFT, PANEL, GAP, RIGHT = 190, 300, 120, 110
TOP, BAR, SPACE = 92, 14, 14
NOTE = 150  # letters in a line of the caption
FONT = "font-family=\"system-ui, 'DejaVu Sans', sans-serif\""


def draw(results, caption):
    """Two panels side by side, a group of bars for each scenario."""
    shown = {name: cells for name, cells in results.items() if any(cell.valid for cell in cells.values())}
    group = BAR * len(NAMES) + SPACE
    notes = textwrap.wrap(caption, NOTE)
    height = TOP + group * len(shown) + 10 + 16 * len(notes)
    width = LEFT + PANEL + GAP + PANEL + RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" {FONT} font-size="12" fill="#222">',
        "<title>Portcullis, nginx and HAProxy on one core</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        legend(),
        text(LEFT, 66, "CPU time per request: shorter is better", "font-weight='600'"),
        text(LEFT + PANEL + GAP, 66, "Requests per second: longer is better", "font-weight='600'"),
    ]
    for place, (name, cells) in enumerate(shown.items()):
        y = TOP + place * group
        parts.append(text(LEFT - 12, y + BAR * len(NAMES) / 2 + 4, BY_NAME[name].title, "text-anchor='end'"))
        parts.append(bars(LEFT, y, cells, "cpu_us", time_text))
        parts.append(bars(LEFT + PANEL + GAP, y, cells, "requests_per_second", "{:,.0f}".format))
    for line, note in enumerate(reversed(notes)):
        parts.append(text(12, height - 10 - 16 * line, note, "fill='#555' font-size='11'"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def legend():
    """Name and colour of each proxy."""
    parts = [text(LEFT, 24, "One core for the proxy, access log off", "font-size='15' font-weight='600'")]
    for place, name in enumerate(NAMES):
        x = LEFT + place * 110
        parts.append(f'<rect x="{x}" y="36" width="12" height="12" fill="{COLOURS[name]}"/>')
        parts.append(text(x + 18, 46, TITLES[name]))
    return "\n".join(parts)


def bars(x, y, cells, metric, written):
    """One group; its longest bar fills the panel. A thin line is the spread from the least to the most."""
    valid = {name: cell for name, cell in cells.items() if cell.valid}
    longest = max((cell.spread(metric)[1] for cell in valid.values()), default=1) or 1
    parts = [f'<line x1="{x}" y1="{y - 2}" x2="{x}" y2="{y + BAR * len(NAMES) + 1}" stroke="#999"/>']
    for place, name in enumerate(NAMES):
        top = y + place * BAR
        if name not in valid:
            parts.append(text(x + 6, top + BAR - 3, f"{TITLES[name]}: no result", "fill='#777' font-size='11'"))
            continue
        cell = valid[name]
        value, (low, high) = cell.median(metric), cell.spread(metric)
        length, start, end = (PANEL * each / longest for each in (value, low, high))
        middle = top + BAR / 2
        parts.append(
            f'<rect x="{x}" y="{top + 1}" width="{length:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>'
            f'<line x1="{x + start:.1f}" y1="{middle}" x2="{x + end:.1f}" y2="{middle}" stroke="#222"/>'
        )
        parts.append(text(x + max(length, end) + 5, top + BAR - 3, written(value), "font-size='11'"))
    return "\n".join(parts)


def text(x, y, content, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(content)}</text>'
