"""Stored responses as clients read them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from openai.types.responses import Response
from openai.types.responses.response_item_list import ResponseItemList

from modelmux.dialects.openai_responses.stored import deleted_body, item_page, response_body
from modelmux.dialects.stored_responses import StoredItem, StoredResponse
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import Message
from support.responses_encoding import unary

BODY = unary(Message())


def item(id: str, /, **fields: Any) -> StoredItem:
    return StoredItem(id, json.dumps(fields, separators=(",", ":")).encode())


REASONING = item("rs_1", type="reasoning", id="rs_1", summary=[], encrypted_content="mmx1.x")
CALL = item("fc_1", type="function_call", id="fc_1", call_id="c", name='"encrypted_content"', arguments="{}",
            encrypted_content="own")  # fmt: skip
MESSAGE = item("msg_2", type="message", id="msg_2", role="assistant", status="completed", content=[])
HISTORY = [
    b'{"role":"user","content":"first"}',
    b'{"type":"message","id":"msg_1","role":"assistant","content":"answer"}',
    REASONING.data,
]
INPUT = (item("in_1", role="user", content=[{"type": "input_text", "text": "second"}]), item("in_2", type="x", id=5))
STORED = StoredResponse("resp_1", 1, None, INPUT, (REASONING, CALL, MESSAGE), json.dumps(BODY).encode())


def page(encrypted: bool = False, history: Any = HISTORY, stored: StoredResponse = STORED, **query: str) -> Any:
    return json.loads(item_page(stored, history, query, encrypted=encrypted))


def test_a_response_comes_with_its_output() -> None:
    body = json.loads(response_body(STORED, encrypted=False))
    Response.model_validate({**body, "output": []}, strict=True)
    assert list(body) == list(BODY)
    assert [each["id"] for each in body["output"]] == ["rs_1", "fc_1", "msg_2"]
    assert "encrypted_content" not in body["output"][0]
    assert body["output"][1]["encrypted_content"] == "own", "only that of reasoning is left out"
    assert json.loads(response_body(STORED, encrypted=True))["output"][0]["encrypted_content"] == "mmx1.x"


def test_input_items_are_all_items_before_the_response_newest_first() -> None:
    found = page()
    assert [each["id"] for each in found["data"]] == ["in_2", "in_1", "rs_1", "msg_1", "item_0"]
    assert (found["object"], found["first_id"], found["last_id"], found["has_more"]) == (
        "list", "in_2", "item_0", False
    )  # fmt: skip
    assert found["data"][1] == {"id": "in_1", "type": "message", "role": "user",
                                "content": [{"type": "input_text", "text": "second"}]}  # fmt: skip
    assert found["data"][3]["content"] == [{"type": "output_text", "text": "answer", "annotations": [], "logprobs": []}]
    assert found["data"][4]["content"] == [{"type": "input_text", "text": "first"}]
    assert "encrypted_content" not in found["data"][2]
    assert page(encrypted=True)["data"][2]["encrypted_content"] == "mmx1.x"
    ResponseItemList.model_validate({**found, "data": []}, strict=True)


def test_pages() -> None:
    first = page(limit="2", order="asc")
    assert ([each["id"] for each in first["data"]], first["has_more"]) == (["item_0", "msg_1"], True)
    second = page(limit="3", order="asc", after=first["last_id"])
    assert ([each["id"] for each in second["data"]], second["has_more"]) == (["rs_1", "in_1", "in_2"], False)
    last = page(order="asc", after="in_2", limit="")
    assert (last["data"], last["first_id"], last["last_id"], last["has_more"]) == ([], None, None, False)
    assert len(page(history=[b'{"role":"user","content":"x"}'] * 30)["data"]) == 20


def test_items_with_one_id_are_told_apart() -> None:
    again = [b'{"id":"in_1","role":"user","content":"a"}', b'{"id":"x","role":"user","content":"b"}'] * 2
    assert [each["id"] for each in page(order="asc", history=again)["data"]] == [
        "item_0", "x", "item_2", "item_3", "in_1", "in_2"
    ]  # fmt: skip


@pytest.mark.parametrize("value", [b"1e999", b"1" + b"0" * 5000, b'{"a":[-1e999]}'])
def test_what_a_client_sent_comes_back_although_it_cannot_be_decoded(value: bytes) -> None:
    data = b'{"type":null,"role":"user","content":"a","extra":' + value + b"}"
    for stored, history in (
        (replace(STORED, input=(StoredItem("in_1", data),)), []),
        (replace(STORED, input=()), [data]),
    ):
        listed = item_page(stored, history, {})
        assert b'"type":"message"' in listed
        assert b'"extra":' + value in listed


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "0"), ("limit", "101"), ("limit", "-1"), ("limit", "x"), ("limit", "²"), ("limit", "9" * 5000),
     ("order", "up"), ("after", "nothing")],
)  # fmt: skip
def test_a_query_that_cannot_be_used(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        page(**{name: value})
    assert error.value.param == name


def test_a_deletion() -> None:
    assert json.loads(deleted_body("resp_1")) == {"id": "resp_1", "object": "response", "deleted": True}
