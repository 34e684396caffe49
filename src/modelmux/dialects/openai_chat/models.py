"""The model list in OpenAI's format, which has no pagination."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.dialects.base import ListedModel
from modelmux.wire.openai.common import Model, ModelList, encode


def encode_models(models: Sequence[ListedModel]) -> bytes:
    return encode(ModelList(data=[_model(model) for model in models]))


def encode_model(model: ListedModel) -> bytes:
    return encode(_model(model))


def _model(model: ListedModel) -> Model:
    context, output = model.max_input_tokens, model.max_output_tokens
    return Model(
        id=model.name,
        created=model.created_at,
        context_window=context,
        context_length=context,
        max_model_len=context,
        max_output_tokens=output,
        max_completion_tokens=output,
    )
