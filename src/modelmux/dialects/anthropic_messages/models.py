"""The model list in Anthropic's shape, with its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from modelmux.dialects.base import ListedModel
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic.models import ModelInfo, ModelPage
from modelmux.wire.openai.common import encode

_MAX_PAGE: Final = 1000  # Anthropic's maximum; the complete list fits, so it is the default too
_UNKNOWN_DAY: Final = date(1970, 1, 1)


def encode_model(model: ListedModel) -> bytes:
    return encode(_info(model))


def encode_models(models: Sequence[ListedModel], query: Mapping[str, str]) -> bytes:
    """The page of the list selected by ``limit``, ``after_id`` and ``before_id``.

    :raises InvalidRequest: a limit that is not a number in range, or an id that is not in the list.
    """
    limit = _limit(query.get("limit"))
    first, end = 0, len(models)
    ids = [model.name for model in models]
    if "after_id" in query:
        first = _position(query["after_id"], ids, "after_id") + 1
    start = first
    if "before_id" in query:
        end = _position(query["before_id"], ids, "before_id")
        start = max(first, end - limit)
    page = models[start:end][:limit]
    has_more = end - first > limit
    return encode(
        ModelPage(
            data=[_info(model) for model in page],
            has_more=has_more,
            first_id=page[0].name if page else None,
            last_id=page[-1].name if page else None,
        )
    )


def _info(model: ListedModel) -> ModelInfo:
    return ModelInfo(
        id=model.name,
        display_name=model.display_name,
        created_at=_instant(model.released_on or _UNKNOWN_DAY),
        lifecycle=model.lifecycle,
        deprecated_at=_instant(model.deprecated_on) if model.deprecated_on else None,
        retires_at=_instant(model.retires_on) if model.retires_on else None,
        max_input_tokens=model.max_input_tokens,
        max_tokens=model.max_output_tokens,
    )


def _limit(text: str | None) -> int:
    if text is None:
        return _MAX_PAGE
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _MAX_PAGE):
        raise InvalidRequest(f"limit must be a number from 1 to {_MAX_PAGE}.", param="limit")
    return int(text)


def _position(id: str, ids: list[str], param: str) -> int:
    if id not in ids:
        raise InvalidRequest(f"{param} is not the id of a model in this list.", param=param)
    return ids.index(id)


def _instant(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"
