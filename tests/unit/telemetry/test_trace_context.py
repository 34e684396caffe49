"""Risk: a request is attached to another trace than the client's, or a bad header breaks it.

Cases of W3C Trace Context, level 1, sections 3.2 and 4.3, and of its test suite.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.telemetry.trace_context import SentContext, TraceContext, read_trace_context, read_trace_state

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def read(*values: str) -> TraceContext | None:
    return read_trace_context([(b"host", b"x"), *((b"traceparent", value.encode("latin-1")) for value in values)])


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"00-{TRACE}-{PARENT}-00", False),
        (f"00-{TRACE}-{PARENT}-03", True),
        (f"00-{TRACE}-{PARENT}-fe", False),
        (f" 00-{TRACE}-{PARENT}-01\t", True),
        (f"cc-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{PARENT}-01-", True),
    ],
)
def test_the_trace_of_a_client(value: str, sampled: bool) -> None:
    assert read(value) == TraceContext(TRACE, PARENT, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "-",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-x",
        f"00-{TRACE}-{PARENT}-01.",
        f"ff-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.x",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-.0",
        f"00-{TRACE}-{PARENT}-01\xb2",
        f"00-{TRACE}-{PARENT}-01, 00-{TRACE}-{PARENT}-01",
    ],
)
def test_what_is_not_valid_is_no_trace(value: str) -> None:
    assert read(value) is None


def test_two_headers_are_no_trace() -> None:
    valid = f"00-{TRACE}-{PARENT}-01"
    assert (read(valid, valid), read()) == (None, None)


@given(st.binary(max_size=70))
def test_no_header_is_an_error(value: bytes) -> None:
    read_trace_context([(b"traceparent", value)])


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ([], b""),
        ([b"a=1"], b"a=1"),
        ([b"a=1", b"b=2,c=3"], b"a=1,b=2,c=3"),
        ([b"a=" + b"1" * 2046], b"a=" + b"1" * 2046),
        ([b"a=" + b"1" * 2047], b""),
        ([b"a=\xff"], b""),
        ([b"a=1\r\nx: y"], b""),
    ],
)
def test_what_is_passed_on_cannot_make_a_call_fail(values: list[bytes], state: bytes) -> None:
    assert read_trace_state([(b"host", b"x"), *((b"tracestate", value) for value in values)]) == state


@pytest.mark.parametrize("sampled", [True, False])
def test_what_a_call_says_is_read_as_it_was_meant(sampled: bool) -> None:
    sent = SentContext(TRACE, PARENT, sampled, b"a=1")
    assert read_trace_context(sent.headers) == TraceContext(TRACE, PARENT, sampled)
    assert read_trace_state(sent.headers) == b"a=1"
    assert [name for name, _ in SentContext(TRACE, PARENT, sampled).headers] == [b"traceparent"]
