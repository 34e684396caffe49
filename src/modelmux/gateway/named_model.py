"""The model that a request asks for, where the request could not be decoded: for the log."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class _Body(msgspec.Struct):
    model: str | None = None


_decode = msgspec.json.Decoder(_Body).decode


def named_model(path_params: Mapping[str, str], body: bytes) -> str | None:
    """The model of the path or of the body; None if neither names one."""
    model = path_params.get("model")
    if model is not None:
        return model
    try:
        return _decode(body).model
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
