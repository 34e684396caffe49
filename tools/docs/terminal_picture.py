"""Lines of a terminal as an SVG picture that plays them at the times they came. Colours are those of the terminal.

A program that shows no animations, and a reader who wants none, see all lines at once.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.sax.saxutils import escape

from rich.color import Color
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

_WIDTH: Final = 8.4
_HEIGHT: Final = 19
_MARGIN: Final = 16
#: Seconds: no pause in the picture is longer.
_LONGEST_PAUSE: Final = 1.2
_STYLE: Final = (
    "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#d9d9d9;"
    "white-space:pre;animation:show .01s both}"
    "@keyframes show{from{opacity:0}to{opacity:1}}"
    "@media (prefers-reduced-motion:reduce){text{animation:none}}"
)


class Line(NamedTuple):
    """What stands on a line, with its escape sequences, and the seconds at which it came."""

    at: float
    text: str


def draw(lines: list[Line], columns: int, title: str) -> str:
    """The picture. Lines that are too long are wrapped, as a terminal does it."""
    rows = [(at, row) for at, line in _with_short_pauses(lines) for row in _wrapped(line, columns)]
    width, height = columns * _WIDTH + 2 * _MARGIN, len(rows) * _HEIGHT + 2 * _MARGIN
    body = "".join(_row(row, at, number) for number, (at, row) in enumerate(rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img"><title>{escape(title)}</title><style>{_STYLE}</style>'
        f'<rect width="100%" height="100%" rx="8" fill="#1c1f24"/>\n{body}</svg>\n'
    )


def _with_short_pauses(lines: list[Line]) -> list[tuple[float, Text]]:
    result, shown, last = [], 0.0, lines[0].at if lines else 0.0
    for line in lines:
        shown += min(_LONGEST_PAUSE, line.at - last)
        last = line.at
        result.append((shown, Text.from_ansi(line.text)))
    return result


def _wrapped(line: Text, columns: int) -> list[Text]:
    cuts = range(columns, max(len(line), 1), columns)
    return list(line.divide(cuts))


def _row(row: Text, at: float, number: int) -> str:
    if not row.plain.strip():
        return ""
    spans = "".join(_span(text, style) for text, style in _runs(row))
    y = _MARGIN + (number + 0.75) * _HEIGHT
    length = len(row.plain) * _WIDTH
    return (
        f'<text x="{_MARGIN}" y="{y:g}" textLength="{length:g}" xml:space="preserve" '
        f'style="animation-delay:{at:.2f}s">{spans}</text>\n'
    )


def _runs(row: Text) -> list[tuple[str, Style]]:
    """Neighbouring characters of one style."""
    styles = [Style.null()] * len(row.plain)
    for start, end, style in row.spans:
        parsed = style if isinstance(style, Style) else Style.parse(style)
        for index in range(start, min(end, len(styles))):
            styles[index] = styles[index] + parsed
    runs: list[tuple[str, Style]] = []
    for character, style in zip(row.plain, styles, strict=True):
        if runs and runs[-1][1] == style:
            runs[-1] = (runs[-1][0] + character, style)
        else:
            runs.append((character, style))
    return runs


def _span(text: str, style: Style) -> str:
    parts = []
    if style.color is not None and not style.color.is_default:
        parts.append(f"fill:{_hex(style.color)}")
    if style.bold:
        parts.append("font-weight:bold")
    if style.dim:
        parts.append("opacity:.65")
    attribute = f' style="{";".join(parts)}"' if parts else ""
    return f"<tspan{attribute}>{escape(text)}</tspan>"


def _hex(color: Color) -> str:
    return color.get_truecolor(DIMMED_MONOKAI).hex
