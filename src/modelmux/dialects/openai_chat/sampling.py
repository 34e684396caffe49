"""Token limit, temperature, top_p, top_k and stop sequences, as far as the model takes them."""

from __future__ import annotations

from modelmux.claude.context import Context
from modelmux.errors import InvalidRequest
from modelmux.wire.anthropic import MessagesRequest
from modelmux.wire.openai.chat_request import ChatRequest

#: Anthropic counts this as the most; OpenAI documents four, clients send more.
MAX_STOP_SEQUENCES = 16_384


def max_tokens(request: ChatRequest, ctx: Context) -> int:
    """The output limit: what the client asked for up to the model's cap, or the cap. Claude requires one."""
    name = "max_completion_tokens" if request.max_completion_tokens is not None else "max_tokens"
    asked = request.max_completion_tokens if request.max_completion_tokens is not None else request.max_tokens
    cap = ctx.card.max_output
    if asked is None:
        return cap
    if asked < 1:
        raise InvalidRequest(f"Invalid value for '{name}': it must be at least 1.", param=name)
    if asked > cap:
        for field in ("max_completion_tokens", "max_tokens"):  # both, if both set this limit
            if getattr(request, field) == asked:
                ctx.notices.add("clamped", field, f"The model produces at most {cap} tokens.")
        return cap
    return asked


def apply_sampling(request: ChatRequest, body: MessagesRequest, ctx: Context) -> None:
    """Set temperature, top_p and top_k on ``body``, or say why not."""
    _check_range("temperature", request.temperature, 2.0)
    _check_range("top_p", request.top_p, 1.0)
    if request.top_k is not None and request.top_k < 0:
        raise InvalidRequest("Invalid value for 'top_k': it must not be negative.", param="top_k", hint="Leave it out.")
    if ctx.card.sampling == "reject":
        for name in ("temperature", "top_p", "top_k"):
            if getattr(request, name) is not None:
                ctx.notices.add("dropped", name, "This model takes no sampling parameters.")
        return
    temperature = request.temperature
    if temperature is not None and temperature > 1.0:
        ctx.notices.add("clamped", "temperature", "Claude's temperature goes from 0 to 1.")
        temperature = 1.0
    body.temperature = temperature
    body.top_k = request.top_k
    if request.top_p is not None and temperature is not None:
        ctx.notices.add("dropped", "top_p", "Claude takes temperature or top_p, not both; temperature was kept.")
    else:
        body.top_p = request.top_p


def stop_sequences(request: ChatRequest, ctx: Context) -> list[str] | None:
    """Stop sequences Claude accepts: those that hold more than white space, each once; None for none."""
    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    if len(stop) > MAX_STOP_SEQUENCES:
        raise InvalidRequest(f"Too many stop sequences: at most {MAX_STOP_SEQUENCES}.", param="stop")
    kept = list(dict.fromkeys(s for s in stop if s.strip()))
    if len(kept) < len(stop):
        ctx.notices.add("dropped", "stop", "Empty, repeated and whitespace-only stop sequences are not sent.")
    return kept or None


def _check_range(name: str, value: float | None, high: float) -> None:
    if value is not None and not 0.0 <= value <= high:
        raise InvalidRequest(f"Invalid value for '{name}': it must be between 0 and {high:g}.", param=name)
