"""Risk: a few bytes take seconds, because the work follows the parts of a request and not its length.

Work is counted as functions called, in Python and in C; a call takes some 0.1 us. ``python -m bench costliest``
searches further and measures CPU time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
pytest.importorskip("bench", reason="the benchmarks are not part of the installed package")

from bench.costly.bodies import known
from bench.costly.everything import grown
from bench.costly.forms import PATHS, encode, form_of, object_schema, small, with_tools
from bench.costly.headers import known_headers
from bench.costly.search import answer, gateway

from modelmux.wire.openai.members import MAX_UNKNOWN
from support.work import CountedCalls

FORMS = ("chat", "responses", "messages")
#: Of a request of 1,000 bytes: about 5 ms.
MOST_OF_A_SMALL_ONE = 60_000
#: Of a request of up to 100,000 bytes: about 0.2 s.
MOST_OF_A_LARGER_ONE = 2_000_000
#: The costliest of those that are known. Their work does not grow any more, or with their length only.
WORST = {
    "doubling properties, many strict tools", "doubling anyOf, many tools", "doubling allOf, many tools",
    "empty schemas, answer", "wide oneOf, many strict tools", "nested patterns, tool", "pattern properties, tool",
    "root variants, answer", "sets in patterns, tool", "wide ranges in a pattern, tool",
    "wide ranges in patterns, answer",
    "ranges in patterns, tool", "odd keys and copies, tool", "odd keys and names, tool", "allowed tools",
    "colliding names", "repeated ids",
}  # fmt: skip


async def most_calls(dialect: str, bodies: Iterator[tuple[str, bytes]]) -> tuple[int, str]:
    """The most functions that one of the requests calls, and which it was."""
    app, most = gateway(), (0, "")
    for name, body in bodies:
        with CountedCalls() as work:
            status, _ = await answer(app, PATHS[dialect], body)
        assert status < 500, name
        most = max(most, (work.calls, name))
    await app.aclose()
    return most


@pytest.mark.parametrize("dialect", PATHS)
async def test_no_small_request_takes_much_work(dialect: str) -> None:
    calls, name = await most_calls(dialect, known(form_of(dialect), 1_000))
    assert calls < MOST_OF_A_SMALL_ONE, name


@pytest.mark.parametrize("form", FORMS)
async def test_no_part_of_a_request_takes_more_work_than_its_bytes(form: str) -> None:
    smallest = 3_000  # one of everything
    calls, name = await most_calls(form, grown(form, smallest))
    assert calls < 2 * MOST_OF_A_SMALL_ONE, name


@pytest.mark.parametrize("form", FORMS)
async def test_the_worst_requests_that_are_known_take_bounded_work(form: str) -> None:
    worst = (case for case in known(form, 20_000) if case[0] in WORST)
    calls, name = await most_calls(form, worst)
    assert 0 < calls < MOST_OF_A_LARGER_ONE, name


@pytest.mark.parametrize("dialect", PATHS)
async def test_an_expression_that_takes_long_to_compile_is_refused_before(
    dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2 s for 2,000 characters: a wide range is looked at one character at a time if case is ignored."""
    compiled: list[str] = []
    compiler = re.compile

    def spy(pattern: str, flags: int = 0) -> re.Pattern[str]:
        compiled.append(pattern)
        return compiler(pattern, flags)

    monkeypatch.setattr("re.compile", spy)
    pattern = "(?i)" + "[\x00-\uffff]" * 398
    schema = object_schema(properties={"p": {"type": "string", "pattern": pattern}}, required=["p"])
    app = gateway()
    for name in ("a", "b"):  # the second time, it may be remembered
        body = encode(with_tools(form_of(dialect), [(name, schema, True)]))
        status, response = await answer(app, PATHS[dialect], body)
        assert status == 400
        assert pattern not in compiled
        assert b"too many regular expressions" in response
    await app.aclose()


@pytest.mark.parametrize("dialect", PATHS)
async def test_no_headers_take_much_work(dialect: str) -> None:
    """Of 8,000 bytes; ten times as many are more than the server accepts."""
    app, body = gateway(), encode(small(form_of(dialect)))
    for name, headers in known_headers(8_000):
        with CountedCalls() as work:
            status, _ = await answer(app, PATHS[dialect], body, headers)
        assert status < 500, name
        assert work.calls < MOST_OF_A_SMALL_ONE, name
    await app.aclose()


@pytest.mark.parametrize("dialect", PATHS)
async def test_more_unknown_fields_than_any_client_sends_are_refused(dialect: str) -> None:
    app, body = gateway(), small(form_of(dialect))
    fields = {f"k{i}": 0 for i in range(MAX_UNKNOWN + 1)}
    status, response = await answer(app, PATHS[dialect], encode(body | fields))
    assert status == 400
    assert b"The request has more than 10,000 unknown fields" in response
    await app.aclose()
