"""Risk: half a surrogate pair in a history ends a session, or what is not JSON is taken for it."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.claude.notices import Notice
from modelmux.dialects.base import Inbound
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, OPENAI_RESPONSES, VERTEX_RAW
from modelmux.dialects.request_body import HALF_A_CHARACTER, decode_legal
from modelmux.errors import InvalidRequest

PARAMS = {"model": "m", "location": "global", "project": "p"}
MESSAGES = rb'{ "model":"m", "messages":[{"role":"user","content":"x \ud83d y"}], "big":12345678901234567890123 }'
INPUT = rb'{"model":"m","input":"x \ud83d y"}'


def notices_of(decoded: Any) -> tuple[Notice, ...]:
    notices: tuple[Notice, ...] = (decoded.native or decoded.request).notices
    return notices


@pytest.mark.parametrize(
    ("dialect", "body", "place"),
    [
        (OPENAI_CHAT, MESSAGES.replace(b', "big":12345678901234567890123', b""), "messages.0.content"),
        (OPENAI_RESPONSES, INPUT, "input"),
        (ANTHROPIC_MESSAGES, MESSAGES, "messages.0.content"),
        (VERTEX_RAW, MESSAGES, "messages.0.content"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_dialect_takes_half_a_character(dialect: Any, body: bytes, place: str) -> None:
    decoded = dialect.decode(Inbound("req_1", 0.0, path_params=PARAMS), body)
    assert notices_of(decoded) == (Notice("changed", place, HALF_A_CHARACTER),)
    if decoded.native is None:
        assert decoded.request.body.messages[0].content[0].text == "x \ufffd y"
    else:
        assert decoded.native.body == body.replace(rb"\ud83d", rb"\ufffd")
    legal = dialect.decode(Inbound("req_1", 0.0, path_params=PARAMS), body.replace(rb"\ud83d", rb"\ud83d\ude00"))
    assert notices_of(legal) == ()


def test_a_body_without_fault_is_the_same_object() -> None:
    body = "\ud55c\U0001f600 \\\\ud83d \\ud83d\\ude00".encode()
    decoded, legal = decode_legal(body, len)
    assert (decoded, legal.notices) == (len(body), ())
    assert legal.data is body


def test_what_a_decoder_refuses_for_another_reason_is_refused() -> None:
    def refuse(_: bytes) -> None:
        raise InvalidRequest("No.")

    with pytest.raises(InvalidRequest, match="No"):
        decode_legal(b"{}", refuse)


@pytest.mark.parametrize("body", [rb"\ud83d", rb'{"model":\ud83d}', b'{"model":"m\xed\xa0\x80", "x"', b"\xed\xa0\x80"])
@pytest.mark.parametrize("dialect", [OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES], ids=lambda d: str(d.name))
def test_what_is_not_json_is_still_refused(dialect: Any, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        dialect.decode(Inbound("req_1", 0.0), body)
