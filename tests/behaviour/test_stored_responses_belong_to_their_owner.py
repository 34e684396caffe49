"""Risk: an id, or sealed thinking, opens one caller's conversation to another; what is not stored claims to be; the
three ways to send a history reach the model as three different prompts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelmux.app import Gateway
from support.asgi import Response, request
from support.fakes import FakeUpstream, message_reply, stream_reply, text_events
from support.gateway import MODEL, gateway

ANN, BOB = "sk-modelmux-ann-0001", "sk-modelmux-bob-0001"
KEYS = {"server": {"api_keys": [ANN, BOB]}}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2lnbmVk"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "sky"}}
TOOLS = [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}]
BODY = {"model": MODEL, "tools": TOOLS}


async def send(app: Gateway, method: str, path: str, body: Any = None, key: str = ANN) -> Response:
    headers = {"authorization": f"Bearer {key}"}
    return await request(app, method, path, b"" if body is None else body, headers)


async def create(app: Gateway, body: dict[str, Any], key: str = ANN) -> Any:
    response = await send(app, "POST", "/v1/responses", BODY | body, key)
    assert response.status == 200, response.body
    return response.json()


@pytest.fixture
async def app() -> AsyncIterator[Gateway]:
    """Always thinks, looks, and is never done."""
    app = gateway(FakeUpstream([message_reply(content=[THINKING, CALL], stop_reason="tool_use")] * 8), **KEYS)
    yield app
    await app.aclose()


ROUTES = [
    ("GET", "/v1/responses/{id}", None),
    ("GET", "/responses/{id}", None),
    ("GET", "/v1/responses/{id}/input_items", None),
    ("POST", "/v1/responses/{id}/cancel", b""),
    ("DELETE", "/v1/responses/{id}", None),
    ("POST", "/v1/responses", {"previous_response_id": "{id}", "input": "And?"}),
    ("POST", "/v1/responses/input_tokens", {"previous_response_id": "{id}", "input": "And?"}),
    ("POST", "/v1/responses/compact", {"previous_response_id": "{id}"}),
    ("POST", "/v1/responses", {"input": [{"type": "item_reference", "id": "{item}"}]}),
]


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_another_key_gets_the_answer_of_an_unknown_id(app: Gateway, method: str, path: str, body: Any) -> None:
    response = await create(app, {"input": "Look"})
    calls = len(app._upstream.calls)  # type: ignore[attr-defined]

    async def answer(key: str, id: str, item: str) -> tuple[int, str]:
        def filled(text: str) -> str:
            return text.replace("{id}", id).replace("{item}", item)

        sent = json.loads(filled(json.dumps(BODY | body))) if isinstance(body, dict) else body
        reply = await send(app, method, filled(path), sent, key)
        return reply.status, reply.body.decode().replace(id, "ID").replace(item, "ITEM")

    call_id = response["output"][1]["id"]
    assert response["output"][1]["type"] == "function_call"
    unknown = "0" * 32
    foreign = await answer(BOB, response["id"], call_id)
    assert foreign == await answer(BOB, f"resp_{unknown}", f"fc_{unknown}0000")
    assert foreign[0] in (400, 404)
    assert len(app._upstream.calls) == calls  # type: ignore[attr-defined]
    kept = await send(app, "GET", f"/v1/responses/{response['id']}")
    assert kept.json()["output"] == response["output"]


async def test_sealed_thinking_of_another_key_is_dropped_and_never_text(app: Gateway) -> None:
    include = {"include": ["reasoning.encrypted_content"], "store": False}
    reasoning, call = (await create(app, {"input": "Look", **include}))["output"]
    history = [{"role": "user", "content": "Look"}, reasoning, call]
    history.append({"type": "function_call_output", "call_id": "toolu_1", "output": "blue"})
    await create(app, {"input": history, **include})
    assert app._upstream.body()["messages"][1]["content"] == [THINKING, CALL]  # type: ignore[attr-defined]
    await create(app, {"input": history, **include}, BOB)
    assert app._upstream.body()["messages"][1]["content"] == [CALL]  # type: ignore[attr-defined]
    assert b"Hm." not in app._upstream.calls[-1].body  # type: ignore[attr-defined]


async def test_three_forms_of_a_history_are_one_prompt(app: Gateway) -> None:
    first = await create(app, {"input": "Look", "include": ["reasoning.encrypted_content"]})
    assert (first["store"], first["output"][0]["type"]) == (True, "reasoning")
    result = {"type": "function_call_output", "call_id": "toolu_1", "output": "blue"}
    user = {"role": "user", "content": "Look"}
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    for history in (
        {"input": [user, *first["output"], result], "store": False},
        {"input": [user, *references, result]},
        {"input": [result], "previous_response_id": first["id"]},
    ):
        await create(app, history)
    sent = [call.body for call in app._upstream.calls[1:]]  # type: ignore[attr-defined]
    assert sent[0] == sent[1] == sent[2]
    assert b"c2lnbmVk" in sent[0]


async def test_what_is_not_to_be_stored_is_not(app: Gateway) -> None:
    response = await create(app, {"input": "Look", "store": False})
    assert response["store"] is False
    assert (await send(app, "GET", f"/v1/responses/{response['id']}")).status == 404
    again = await send(app, "POST", "/v1/responses", BODY | {"input": "And?", "previous_response_id": response["id"]})
    assert (again.status, again.json()["error"]["code"]) == (400, "previous_response_not_found")


async def test_what_was_deleted_cannot_be_continued(app: Gateway) -> None:
    response = await create(app, {"input": "Look"})
    deleted = await send(app, "DELETE", f"/v1/responses/{response['id']}")
    assert deleted.json() == {"id": response["id"], "object": "response", "deleted": True}
    assert (await send(app, "DELETE", f"/v1/responses/{response['id']}")).status == 404
    again = await send(app, "POST", "/v1/responses", BODY | {"input": "And?", "previous_response_id": response["id"]})
    assert again.status == 400


async def test_a_gateway_without_a_store_says_so() -> None:
    app = gateway(FakeUpstream([message_reply()]), responses={"store": "off"}, **KEYS)
    response = await create(app, {"input": "Hi", "store": True})
    assert response["store"] is False
    refused = await send(app, "POST", "/v1/responses", BODY | {"input": "And?", "previous_response_id": "resp_1"})
    assert (refused.status, "store: false" in refused.json()["error"]["message"]) == (400, True)


async def test_a_stream_is_stored_when_it_says_that_it_is_complete() -> None:
    app = gateway(FakeUpstream([stream_reply(*text_events("Hel", "lo"))]), **KEYS)
    streamed = await send(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi", "stream": True})
    completed = streamed.events_by_name()["response.completed"]["response"]
    kept = (await send(app, "GET", f"/v1/responses/{completed['id']}")).json()
    assert kept == completed


async def test_a_stream_that_broke_is_not_stored() -> None:
    app = gateway(FakeUpstream([stream_reply(*text_events("Hel", "lo")[:4])]), **KEYS)
    streamed = await send(app, "POST", "/v1/responses", {"model": MODEL, "input": "Hi", "stream": True})
    failed = streamed.events_by_name()["response.failed"]["response"]
    assert (failed["store"], failed["error"]["code"]) == (False, "server_error")
    assert (await send(app, "GET", f"/v1/responses/{failed['id']}")).status == 404
