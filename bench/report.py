"""Figures as a table, a drawing and a file, and the comparison with those that are stored."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from bench.stats import middle, spread
from modelmux.version import __version__

#: A ratio that is worse than the stored one by more than both spreads and this is no noise.
TOLERANCE: Final = 0.15
#: A figure of which more than this share of the requests failed says nothing.
_USELESS: Final = 0.05


class Row(msgspec.Struct):
    """A figure of several targets.

    :param unit: of the figures.
    :param values: target -> the figure of each run.
    :param failed: target -> the worst share of failed requests.
    """

    name: str
    unit: str
    values: dict[str, list[float]]
    failed: dict[str, float] = {}


class Result(msgspec.Struct):
    """One run of the whole."""

    about: dict[str, str]
    rows: list[Row]


def about(folder: Path, runs: int, seconds: float, cores: str) -> dict[str, str]:
    """Versions and settings: without them a figure says nothing."""
    return {
        "modelmux": f"{__version__} ({_said('git', '-C', str(folder), 'rev-parse', '--short', 'HEAD')})",
        "python": platform.python_version(),
        "nginx": _said("nginx", "-v"),
        "wrk": _said("wrk", "-v").split("[")[0],
        "kernel": platform.release().split("-")[0],
        "cpu": _cpu(),
        "cores": cores,
        "runs": f"{runs} of {seconds:g} s, targets taking turns; figures are medians",
        "switched off": "nothing: default settings, an API key, a log line a request (to a file and to stderr)",
    }


def _said(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not there"
    return ((said.stdout + said.stderr).strip().splitlines() or ["?"])[0].removeprefix("nginx version: ")


def _cpu() -> str:
    try:
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def ratios(result: Result, target: str, base: str = "nginx") -> dict[str, tuple[float, float]]:
    """Row -> how many times the base's figure the target's is, and the spread of that."""
    found = {}
    for row in result.rows:
        ours, theirs = row.values.get(target), row.values.get(base)
        if ours and theirs and row.unit.startswith("us"):
            each = [a / b for a, b in zip(ours, theirs, strict=False)]
            found[row.name] = (middle(each), spread(each))
    return found


def worse(now: Result, stored: Result, target: str = "ModelMux") -> dict[str, str]:
    """The ratios that are worse than the stored ones by more than noise: row -> what to say of it."""
    before = ratios(stored, target)
    found = {}
    for name, (ratio, noise) in ratios(now, target).items():
        if name not in before:
            continue
        was, its_noise = before[name]
        allowed = was * (1 + TOLERANCE + noise + its_noise)
        if ratio > allowed:
            found[name] = f"{name}: {ratio:.1f} times nginx, was {was:.1f}, noise allows {allowed:.1f}"
    return found


def table(result: Result) -> str:
    """Markdown."""
    targets = list(dict.fromkeys(name for row in result.rows for name in row.values))
    lines = [
        "| | unit | " + " | ".join(targets) + " | ModelMux : nginx |",
        "|---|---|" + "---|" * (len(targets) + 1),
    ]
    times = ratios(result, "ModelMux")
    for row in result.rows:
        cells = [_cell(row, target) for target in targets]
        ratio = f"{times[row.name][0]:.1f} ± {times[row.name][0] * times[row.name][1]:.1f}" if row.name in times else ""
        lines.append(f"| {row.name} | {row.unit} | {' | '.join(cells)} | {ratio} |")
    said = [f"{key} {value}" for key, value in result.about.items()]
    return "\n".join([*lines, "", f"<sub>{'; '.join(said)}. Failed requests: {_failures(result)}.</sub>", ""])


def _cell(row: Row, target: str) -> str:
    values = row.values.get(target)
    if not values:
        return ""
    if row.failed.get(target, 0.0) > _USELESS:
        return "failed"
    figure = middle(values)
    return f"{figure:,.0f}" if abs(figure) >= 20 else f"{figure:.2f}"


def _failures(result: Result) -> str:
    worst: dict[str, float] = {}
    for row in result.rows:
        for target, share in row.failed.items():
            if share > _USELESS:
                continue
            worst[target] = max(worst.get(target, 0.0), share)
    return ", ".join(f"{target} {100 * share:.2f} %" for target, share in worst.items()) or "none were counted"


def drawing(result: Result) -> str:
    """The cost of each case as bars, as an SVG."""
    rows = [row for row in result.rows if row.unit.startswith("us") and "ModelMux" in row.values]
    colours: Mapping[str, str] = {"nginx": "#9aa5b1", "ModelMux": "#2f6fde"}
    height, left, width = 26, 230, 420
    # The scale is that of these two: bars of others may end at the edge, their figures stand beside them.
    most = max((middle(row.values[name]) for row in rows for name in colours if name in row.values), default=1.0)
    out, y = list[str](), 30
    for row in rows:
        out.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>')
        for target, values in row.values.items():
            if row.failed.get(target, 0.0) > _USELESS:
                continue
            figure = middle(values)
            bar = max(1.0, width * min(1.0, figure / most))
            out.append(
                f'<rect x="{left}" y="{y}" width="{bar:.1f}" height="9" fill="{colours.get(target, "#d98b3a")}"/>'
            )
            out.append(f'<text x="{left + bar + 5:.1f}" y="{y + 9}" class="n">{escape(target)} {figure:,.0f}</text>')
            y += 13
        y += height - 13
    style = "text{font:12px sans-serif;fill:#333}.n{font-size:10px;fill:#666}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 130}" height="{y}" role="img">'
        f'<style>{style}</style><text x="{left}" y="16">CPU, microseconds for each</text>{"".join(out)}</svg>\n'
    )


def insert(text: str, block: str, name: str = "bench") -> str:
    """A page with what stands between its markers replaced.

    :raises ValueError: the page has no such markers.
    """
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers <!-- {name} -->")
    return pattern.sub(lambda found: found[1] + block + found[2], text)


def read(path: Path) -> Result:
    """A stored result."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def write(path: Path, result: Result) -> None:
    """Store a result."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def say(*words: object, to: Sequence[object] = ()) -> None:
    """Progress, on stderr: the table is what stdout is for."""
    print(*words, *to, file=sys.stderr, flush=True)
