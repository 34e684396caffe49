"""Options that an operator may set for a route; part of the configuration."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Options(Struct, frozen=True):
    """How a request is prepared for models that do not support all of it, and how replies are shown.

    :param forced_tool_choice: on a model that does not support a forced tool choice: leave the choice to the model, or
        reject the request.
    :param prefill: a trailing assistant message on a model that does not support prefill: reject the request, or add
        a user turn that asks the model to continue.
    :param caching: set prompt-cache breakpoints where the client sets none and they reduce the cost.
    :param unknown_betas: values of ``anthropic-beta`` that the catalog does not list: forward or drop them.
    :param web_search: a web search tool that Google Cloud does not offer: reject the request, or use the one it offers.
    :param strict_location: reject a request whose URL names a location outside the geography, instead of ignoring it.
    :param reply_model: the model name in native replies: the upstream's, or the one the client asked for.
    """

    forced_tool_choice: Literal["error", "downgrade"] = "downgrade"
    prefill: Literal["error", "continue"] = "error"
    caching: bool = True
    unknown_betas: Literal["forward", "drop"] = "forward"
    web_search: Literal["error", "downgrade"] = "error"
    reply_model: Literal["upstream", "requested"] = "upstream"
    strict_location: bool = False
