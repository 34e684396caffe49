"""Which request of a conversation is the turn before another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modelmux.claude.prompt_change import has_same_begin
from modelmux.store.traces.record import Trace

#: A prompt of so many messages continues a conversation.
_CONTINUED: Final = 2


def previous_turn(trace: Trace, earlier: Sequence[Trace]) -> Trace | None:
    """The latest one that a model has read and that begins with the same message. A conversation whose first message
    was changed follows the latest one with the same model: clients send other requests in a session, to other models.

    :param earlier: requests of the same conversation that arrived before it, the latest first.
    """
    prompt = trace.prompt
    if prompt is None:
        return None
    read = [one for one in earlier if one.wrote_cache and one.request.operation == trace.request.operation]
    for one in read:
        if one.prompt is not None and has_same_begin(one.prompt, prompt):
            return one
    if prompt.messages.count < _CONTINUED:
        return None
    return next((one for one in read if model_of(one) == model_of(trace)), None)


def model_of(trace: Trace) -> str | None:
    """The model that read the prompt, or was called last."""
    attempts = trace.request.attempts
    return attempts[-1].model if attempts else None
