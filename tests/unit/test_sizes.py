"""Risk: a function, a file or an argument list grows until it cannot be read at a glance."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import modelmux
from modelmux.gateway.exchange import Exchange
from modelmux.routing.retry import decide_retry

SOURCE = Path(modelmux.__file__).parent
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def test_no_file_is_longer_than_400_lines() -> None:
    lengths = {
        path.relative_to(SOURCE).as_posix(): path.read_text("utf-8").count("\n") for path in SOURCE.rglob("*.py")
    }
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    long = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                lines = (node.end_lineno or first) - first + 1
                if lines > MAX_FUNCTION_LINES:
                    long[f"{path.relative_to(SOURCE).as_posix()}:{node.lineno} {node.name}"] = lines
    assert long == {}


def test_an_exchange_has_fewer_than_15_fields() -> None:
    assert len(Exchange.__slots__) < 15


def test_the_retry_decision_takes_at_most_5_arguments() -> None:
    assert len(inspect.signature(decide_retry).parameters) <= 5
