"""Options that an operator may set for a route; part of the configuration."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Options(Struct, frozen=True):
    """How a request is prepared for models that do not support all of it.

    :param forced_tool_choice: on a model that does not support a forced tool choice: reject the request, or leave the
        choice to the model.
    :param prefill: a trailing assistant message on a model that does not support prefill: reject the request, or add
        a user turn that asks the model to continue.
    :param caching: set prompt-cache breakpoints where the client sets none and they reduce the cost.
    """

    forced_tool_choice: Literal["error", "downgrade"] = "error"
    prefill: Literal["error", "continue"] = "error"
    caching: bool = True
