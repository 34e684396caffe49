"""The request of one exchange as each deployment that is tried gets it.

``prepare_translated.py`` makes it from the canonical form, ``prepare_native.py`` from the client's own bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from modelmux.claude.notices import Notice
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.errors import GatewayError
from modelmux.routing.model import Deployment
from modelmux.wire.anthropic import InputMessage


class Prepared(Struct):
    """The request for one deployment.

    :param encoded: the body.
    :param stream: whether the upstream is asked for a stream.
    :param notices: all changes.
    :param betas: values of the ``anthropic-beta`` header.
    :param keeps_thinking: the thinking that leads to tool calls is worth remembering.
    :param is_estimate: the gateway estimates the tokens of the request, because the upstream could not count them.
    """

    encoded: bytes
    stream: bool
    plan: ReplyPlan
    notices: Sequence[Notice]
    betas: tuple[str, ...] = ()
    keeps_thinking: bool = False
    is_estimate: bool = False


class Preparation(Protocol):
    """Prepares the request of one exchange, for whichever deployment is tried."""

    def prepare(self, deployment: Deployment) -> Prepared:
        """The request for a deployment.

        :raises InvalidRequest: its model does not support it, or strict mode forbids the changes it needs.
        """
        ...

    def unknown_calls(self, deployment: Deployment) -> Sequence[str]:
        """Tool calls of a prepared request, the newest first, if thinking was looked for in vain; the first time only,
        for each model."""
        ...

    def forget(self, deployment: Deployment) -> None:
        """Prepare anew what was prepared for a deployment's model."""
        ...

    def add_turn(self, turn: InputMessage) -> None:
        """Continue a paused reply: add a turn to the end of the conversation."""
        ...

    def can_repair(self, error: GatewayError, deployment: Deployment) -> bool:
        """Whether the request can be changed so that the upstream's error does not recur. Each repair is possible only
        once."""
        ...

    def explain(self, error: GatewayError, deployment: Deployment) -> None:
        """Put what the upstream says about the request in the client's terms."""
        ...

    def repair(self, error: GatewayError, deployment: Deployment) -> None:
        """Change the request, as ``can_repair`` promised."""
        ...
