"""The report of ``doctor`` as text: a line for each result, and at the end, where it is seen, what failed.

Not in this module: checks, JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from modelmux.cli.doctor.result import Result
from modelmux.cli.sanitize import one_line

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}
#: Results of one kind that are shown one by one, and the names that stand for more of them.
_MAX_SHOWN: Final = 3
_LIVE: Final = "Add --live to send a test request to every deployment: only that asks Google about the models."


def result_line(result: Result, *, with_hint: bool = True) -> str:
    """One line of a report."""
    # Padded before it is coloured: colour codes have no width.
    mark = click.style(f"{result.status:<4}", fg=_COLOURS[result.status])
    hint = f"  {click.style('hint', fg='cyan')}: {result.hint}" if result.hint and with_hint else ""
    return f"  {mark}  {result.check}: {one_line(result.detail)}{hint}"


def fold(results: Sequence[Result]) -> list[Result]:
    """The results with one for all that are fine, if those are many."""
    fine = [result.check for result in results if result.status == "ok"]
    if len(fine) <= _MAX_SHOWN:
        return [*results]
    names = f"{', '.join(fine[:_MAX_SHOWN])} and {len(fine) - _MAX_SHOWN} more; --verbose shows each with its URL"
    return [Result(f"{len(fine)} deployments", "ok", names), *(r for r in results if r.status != "ok")]


def closing_lines(results: Sequence[Result], *, live: bool) -> list[str]:
    """How many problems there are, and the failures with their remedies."""
    failures = [result for result in results if result.status == "fail" and not result.repeats]
    warned = sum(result.status == "warn" for result in results)
    counts = [f"{count} {word}{'s' if count > 1 else ''}" for count, word in
              ((len(failures), "problem"), (warned, "warning")) if count]  # fmt: skip
    if not counts:
        return ["", "No problems found." + ("" if live else f" {_LIVE}")]
    if not failures:
        return ["", f"{counts[0]}."]
    return ["", f"{' and '.join(counts)}. What failed, and what to do:", *map(result_line, failures)]
