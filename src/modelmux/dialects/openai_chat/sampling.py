"""Token limit, temperature, top_p, top_k and stop sequences: checked, but not yet limited by any model."""

from __future__ import annotations

from typing import Final

from modelmux.claude.notices import Notices
from modelmux.claude.request import NO_LIMIT
from modelmux.dialects.openai_shared.sampling import check_range
from modelmux.errors import InvalidRequest
from modelmux.wire.openai.chat_request import ChatRequest

#: Anthropic's limit; OpenAI documents four, clients send more.
MAX_STOP_SEQUENCES: Final = 16_384


def read_max_tokens(request: ChatRequest) -> tuple[int, tuple[str, ...]]:
    """The output limit, and the names of the fields that set it.

    :raises InvalidRequest: less than one token.
    """
    names: tuple[str, ...]
    limit = request.max_completion_tokens
    if limit is None:
        limit, names = request.max_tokens, ("max_tokens",)
    elif limit == request.max_tokens:
        names = ("max_completion_tokens", "max_tokens")
    else:
        names = ("max_completion_tokens",)
    if limit is None:
        return NO_LIMIT, ()
    if limit < 1:
        raise InvalidRequest(f"Invalid value for '{names[0]}': it must be at least 1.", param=names[0])
    return limit, names


def check_sampling(request: ChatRequest) -> None:
    """Check the ranges of OpenAI's sampling parameters.

    :raises InvalidRequest: a value outside its range.
    """
    check_range("temperature", request.temperature, 2.0)
    check_range("top_p", request.top_p, 1.0)
    if request.top_k is not None and request.top_k < 0:
        raise InvalidRequest("Invalid value for 'top_k': it must not be negative.", param="top_k", hint="Leave it out.")


def translate_stop(stop: str | list[str] | None, notices: Notices) -> list[str] | None:
    """Stop sequences Claude accepts: those that hold more than white space, each once; None for none.

    :raises InvalidRequest: too many of them.
    """
    if stop is None:
        return None
    sequences = [stop] if isinstance(stop, str) else stop
    if len(sequences) > MAX_STOP_SEQUENCES:
        raise InvalidRequest(f"Too many stop sequences: at most {MAX_STOP_SEQUENCES}.", param="stop")
    accepted = list(dict.fromkeys(s for s in sequences if s.strip()))
    if len(accepted) < len(sequences):
        notices.add("dropped", "stop", "Empty, repeated and whitespace-only stop sequences are not sent.")
    return accepted or None


def stop_paths(stop: str | list[str] | None, sent: list[str] | None) -> tuple[str, ...]:
    """The client's path of each stop sequence that is sent."""
    if stop is None or isinstance(stop, str):
        return ("stop",)[: len(sent or ())]
    firsts: dict[str, int] = {}
    for index, sequence in enumerate(stop):
        firsts.setdefault(sequence, index)
    return tuple(f"stop.{firsts[sequence]}" for sequence in sent or ())
