"""Figures as a table, a chart and a file, and their comparison with stored figures."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from bench.stats import median, spread
from modelmux.version import __version__

#: A ratio is a regression if it exceeds the stored one by more than this share plus both spreads.
TOLERANCE: Final = 0.15
#: With a larger share of failed requests a figure is meaningless.
MAX_FAILED: Final = 0.05


class Row(msgspec.Struct):
    """One kind of figure, for several targets.

    :param values: target -> the figure of each run.
    :param failed: target -> the largest share of failed requests in a run.
    """

    name: str
    unit: str
    values: dict[str, list[float]]
    failed: dict[str, float] = {}


class Result(msgspec.Struct):
    """The figures of one session, and the environment they were measured in."""

    about: dict[str, str]
    rows: list[Row]


def about(folder: Path, runs: int, seconds: float) -> dict[str, str]:
    """Versions and settings: figures are meaningless without them."""
    commit = _first_line("git", "-C", str(folder), "describe", "--always", "--dirty", "--exclude=*")
    return {
        "modelmux": f"{__version__} ({commit})",
        "python": platform.python_version(),
        "nginx": _first_line("nginx", "-v"),
        "wrk": _first_line("wrk", "-v").split("[")[0],
        "kernel": platform.release().split("-")[0],
        "cpu": cpu(),
        "runs": f"{runs} of {seconds:g} s, targets in turn; figures are medians",
        "settings": "defaults, an API key, a log line per request (to a file and to stderr)",
    }


def _first_line(*command: str) -> str:
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    return ((result.stdout + result.stderr).strip().splitlines() or ["?"])[0].removeprefix("nginx version: ")


def cpu() -> str:
    """The processor's name."""
    try:
        match = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1] if match else platform.machine()


def stored_for(folder: Path, processor: str) -> Path:
    """Where the figures of a type of processor are stored: nginx and the gateway do not scale alike between types."""
    return folder / f"{re.sub('[^a-z0-9]+', '-', processor.lower()).strip('-')}.json"


def ratios(result: Result, target: str, base: str = "nginx") -> dict[str, tuple[float, float]]:
    """Row -> the ratio of the target's figure to that of the base, and its spread."""
    result_ratios = {}
    for row in result.rows:
        values, base_values = row.values.get(target), row.values.get(base)
        if values and base_values and row.unit.startswith("us"):
            per_run = [value / base_value for value, base_value in zip(values, base_values, strict=False)]
            result_ratios[row.name] = (median(per_run), spread(per_run))
    return result_ratios


def regressions(now: Result, stored: Result, target: str = "ModelMux") -> dict[str, str]:
    """The ratios that exceed the stored ones by more than noise: row -> message."""
    stored_ratios = ratios(stored, target)
    messages = {}
    for name, (ratio, noise) in ratios(now, target).items():
        if name not in stored_ratios:
            continue
        stored_ratio, stored_noise = stored_ratios[name]
        limit = stored_ratio * (1 + TOLERANCE + noise + stored_noise)
        if ratio > limit:
            messages[name] = f"{name}: {ratio:.1f} times nginx, was {stored_ratio:.1f}, limit {limit:.1f}"
    return messages


def more_expensive(
    result: Result, name: str, *, than: str, times: float = 1.0, target: str = "ModelMux"
) -> dict[str, str]:
    """Whether a row that has to be cheaper than another one is not: row -> message. Nothing if one was not measured.

    :param times: how many times the other one's cost it has to be below.
    """
    rows = {row.name: row.values[target] for row in result.rows if target in row.values}
    if name not in rows or than not in rows:
        return {}
    cost, limit = median(rows[name]), times * median(rows[than])
    factor = "" if times == 1.0 else f"{times:g} times "
    return {name: f"{name}: {cost:.0f} us, not below {factor}{than} ({limit:.0f} us)"} if cost >= limit else {}


def table(result: Result) -> str:
    """The figures as a Markdown table, with the environment below it, for a terminal."""
    notes = [f"{key} {value}" for key, value in result.about.items()]
    return f"{figures(result)}\n{'; '.join(notes)}. Failed requests: {_failures(result)}.\n"


def page(result: Result) -> str:
    """The figures as a Markdown table, and the environment as a list, for ``docs/benchmarks.md``."""
    notes = [f"- *{key}*: {value.strip()}" for key, value in result.about.items()]
    return "\n".join(
        [figures(result), "What was measured, with what:", "", *notes, f"- *failed requests*: {_failures(result)}", ""]
    )


def figures(result: Result) -> str:
    """The figures as a Markdown table."""
    targets = list(dict.fromkeys(name for row in result.rows for name in row.values))
    lines = [
        "| | unit | " + " | ".join(targets) + " | ModelMux : nginx |",
        "|---|---|" + "---|" * (len(targets) + 1),
    ]
    modelmux_ratios = ratios(result, "ModelMux")
    for row in result.rows:
        cells = [_cell(row, target) for target in targets]
        ratio, noise = modelmux_ratios.get(row.name, (0.0, 0.0))
        ratio_cell = f"{ratio:.1f} ± {ratio * noise:.1f}" if ratio else ""
        lines.append(f"| {row.name} | {row.unit} | {' | '.join(cells)} | {ratio_cell} |")
    return "\n".join([*lines, ""])


def _cell(row: Row, target: str) -> str:
    values = row.values.get(target)
    if not values:
        return ""
    if row.failed.get(target, 0.0) > MAX_FAILED:
        return "failed"
    return number(median(values))


def number(figure: float) -> str:
    """A figure with about three significant digits."""
    return f"{figure:,.0f}" if abs(figure) >= 20 else f"{figure:.2f}"


def _failures(result: Result) -> str:
    worst: dict[str, float] = {}
    for row in result.rows:
        for target, share in row.failed.items():
            if share > MAX_FAILED:
                continue
            worst[target] = max(worst.get(target, 0.0), share)
    return ", ".join(f"{target} {100 * share:.2f} %" for target, share in worst.items()) or "none"


def chart(result: Result) -> str:
    """The cost of each case as a bar chart in SVG."""
    rows = [row for row in result.rows if row.unit.startswith("us") and "ModelMux" in row.values]
    colours: Mapping[str, str] = {"nginx": "#9aa5b1", "ModelMux": "#2f6fde"}
    height, left, width = 26, 230, 420
    # nginx and ModelMux set the scale. Longer bars are cut off at the edge; the figure next to each is exact.
    largest = max((median(row.values[name]) for row in rows for name in colours if name in row.values), default=1.0)
    out, y = list[str](), 30
    for row in rows:
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>')
        for target, values in row.values.items():
            if row.failed.get(target, 0.0) > MAX_FAILED:
                continue
            figure = median(values)
            bar = max(1.0, width * min(1.0, figure / largest))
            out.append(
                f'<rect x="{left}" y="{y}" width="{bar:.1f}" height="9" fill="{colours.get(target, "#d98b3a")}"/>'
            )
            out.append(f'<text x="{left + bar + 5:.1f}" y="{y + 9}" class="n">{escape(target)} {figure:,.0f}</text>')
            y += 13
        y += height - 13
    style = "text{font:12px sans-serif;fill:#333}.n{font-size:10px;fill:#666}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}" height="{y}" role="img">'
        f'<style>{style}</style><text x="{left}" y="16">CPU microseconds</text>{"".join(out)}</svg>\n'
    )


def replace_block(text: str, block: str, name: str = "bench") -> str:
    """A page with the text between its markers replaced.

    :raises ValueError: the page does not have such markers.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers <!-- {name} -->")
    return pattern.sub(lambda match: match[1] + block + match[2], text)


def read(path: Path) -> Result:
    """A stored result."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def write(path: Path, result: Result) -> None:
    """Store a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def progress(message: str) -> None:
    """Print to stderr: stdout is for the table."""
    print(message, file=sys.stderr, flush=True)
