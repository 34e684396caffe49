"""Risk: a request for a count is read as one for a reply: the model from the URL, a stream that does not come."""

from __future__ import annotations

import pytest

from modelmux.dialects.base import Inbound
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, SURFACES, VERTEX_RAW
from modelmux.errors import InvalidRequest

COUNTING = [surface for surface in SURFACES if surface.operation == "count_tokens"]


def inbound(**path_params: str) -> Inbound:
    return Inbound("req_1", 0.0, "count_tokens", path_params=path_params)


def test_the_model_is_in_the_body_and_nothing_is_streamed() -> None:
    body = b'{"model": "claude-opus-5-5[1m]", "stream": true, "messages": []}'
    for decoded in (
        ANTHROPIC_MESSAGES.decode(inbound(), body),
        VERTEX_RAW.decode(inbound(project="p", location="eu"), body),
    ):
        assert (decoded.model, decoded.stream) == ("claude-opus-5-5", False)
        assert decoded.native is not None
    assert decoded.native.location == "eu"


def test_a_body_without_a_model_is_rejected() -> None:
    with pytest.raises(InvalidRequest, match="model"):
        VERTEX_RAW.decode(inbound(project="p", location="eu"), b'{"messages": []}')


def test_counts_call_an_upstream_and_generate_nothing() -> None:
    assert len(COUNTING) == 6
    assert all(surface.calls_upstream is not None and surface.generates is None for surface in COUNTING)
    listing = next(surface for surface in SURFACES if surface.operation == "list_models")
    assert listing.calls_upstream is None
    generating = next(surface for surface in SURFACES if surface.operation == "generate")
    assert generating.calls_upstream is generating.generates is not None


def test_token_counting_is_not_taken_for_a_model() -> None:
    paths = [surface.path for surface in SURFACES]
    prefix = "/projects/{project}/locations/{location}/publishers/anthropic/models/"
    assert paths.index(prefix + "count-tokens:rawPredict") < paths.index(prefix + "{model}:rawPredict")
