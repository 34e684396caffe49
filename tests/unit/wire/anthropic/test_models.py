"""The model list has every field that Anthropic's SDK reads."""

from __future__ import annotations

from anthropic.types import ModelInfo as Theirs

from modelmux.wire.anthropic.models import ErrorBody, ErrorReply, ModelInfo, ModelPage
from modelmux.wire.openai.common import encode


def test_the_sdk_finds_every_field_it_knows() -> None:
    ours = ModelInfo(
        id="m", display_name="M", created_at="2026-07-24T00:00:00Z", lifecycle="deprecated",
        retires_at="2027-07-24T00:00:00Z", max_input_tokens=5, max_tokens=3,
    )  # fmt: skip
    theirs = Theirs.model_validate_json(encode(ours))
    assert (theirs.created_at.year, theirs.retires_at and theirs.retires_at.year) == (2026, 2027)
    assert set(ours.__struct_fields__) == set(Theirs.model_fields)
    page = encode(ModelPage(data=[ours], has_more=False, first_id="m", last_id="m"))
    assert page.endswith(b'"has_more":false,"first_id":"m","last_id":"m"}')
    assert encode(ErrorReply(error=ErrorBody(type="not_found_error", message="x"), request_id="r")) == (
        b'{"type":"error","error":{"type":"not_found_error","message":"x"},"request_id":"r"}'
    )
