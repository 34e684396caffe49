"""Responses to recorded requests repeat what the client sent, in a form that strict clients accept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelmux.dialects.base import DialectOptions, Inbound
from modelmux.dialects.openai_responses.plan import ResponsesPlan
from modelmux.dialects.openai_responses.request import decode
from modelmux.dialects.stored_responses import History
from modelmux.errors import InvalidRequest, UpstreamBroken
from support.recordings import responses_requests
from support.responses import SEALER, decoded_message, judged, responses_encoder, unary
from support.responses_frames import Json
from support.responses_sdk import check_response

OPTIONS = DialectOptions(sealer=SEALER, stores_responses=True, drops_hosted_tools=True)
REPLY: Json = {
    "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "usage": {"output_tokens": 2},
}  # fmt: skip

#: Whatever a request refers to.
MESSAGE = b'{"role":"user","content":"Hi."}'
BROKEN = UpstreamBroken("The upstream broke off.", reply_started=True)


@pytest.mark.parametrize("exchange", responses_requests())
def test_strict_clients_accept_what_is_repeated_to_them(exchange: dict[str, Any]) -> None:
    try:
        request = decode(Inbound("r", 0.0, options=OPTIONS), json.dumps(exchange["request"]).encode())
        if request.unresolved is not None:
            items = dict.fromkeys(request.unresolved.query.item_ids, MESSAGE)
            request = request.unresolved.complete(History((MESSAGE,), items))
    except InvalidRequest as error:
        assert error.param, "it names the field"
        return
    plan = request.plan
    assert isinstance(plan, ResponsesPlan)
    response = unary(decoded_message(REPLY), plan)
    check_response(response)
    encoder = responses_encoder(plan)
    raw = encoder.keep_alive(15.0) + encoder.keep_alive(61.0) + encoder.fail(BROKEN)
    failed = judged(raw, plan).response
    changed = ("status", "error", "output", "usage", "completed_at", "store")
    assert {k: v for k, v in failed.items() if k not in changed} == {
        k: v for k, v in response.items() if k not in changed
    }
