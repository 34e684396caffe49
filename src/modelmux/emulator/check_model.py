"""What this model, under this API version, does not take: sampling, thinking, effort, lengths (anthropic-vertex.md 2).

The facts are the catalog's; the words are the real ones where a source quotes them (6.3).
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.catalog import ModelCard
from modelmux.emulator.call import NEW_API, VERSIONS, Call
from modelmux.emulator.refusals import invalid
from modelmux.emulator.shape import bad, listed

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_USE_ADAPTIVE: Final = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
_SAMPLING: Final = ("temperature", "top_p", "top_k")


def check_model(call: Call) -> None:
    """All rules that depend on the model alone.

    :raises Refused: one of them is broken.
    """
    _check_version(call)
    _check_sampling(call)
    _check_thinking(call)
    _check_output_config(call)
    _check_stop_sequences(call.body.get("stop_sequences"))


def _check_version(call: Call) -> None:
    version = call.body["anthropic_version"]
    if version not in VERSIONS:
        raise bad("anthropic_version", f"Input should be {listed(VERSIONS)}")


def _check_sampling(call: Call) -> None:
    body, given = call.body, [name for name in _SAMPLING if call.body.get(name) is not None]
    if body["anthropic_version"] == NEW_API and given:
        raise bad(given[0], "Extra inputs are not permitted")
    if call.card.sampling == "reject":
        for name in given:
            if name == "top_k" or body[name] != 1:
                raise invalid(f"`{name}` is deprecated for this model.")
        return
    if "temperature" in given and "top_p" in given and _is_45_or_newer(call.card):
        raise invalid("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _is_45_or_newer(card: ModelCard) -> bool:
    """The 4.5 generation brought structured output, which is how the catalog tells it from older ones."""
    return card.structured_output


def _check_thinking(call: Call) -> None:
    asked, card = call.body.get("thinking"), call.card
    if asked is not None:
        _check_type(asked["type"], card)
        if asked["type"] == "disabled":
            _check_disabled(call)
        if asked["type"] == "enabled" and asked["budget_tokens"] >= call.body["max_tokens"]:
            raise invalid(
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"
            )
    if call.thinking_on and card.sampling == "accept":
        _check_sampling_with_thinking(call.body)


def _check_type(kind: str, card: ModelCard) -> None:
    if kind in card.thinking or (kind == "disabled" and not card.thinking):
        return
    if not card.thinking:
        raise invalid("thinking is not supported on this model")
    if kind == "adaptive":
        raise invalid("adaptive thinking is not supported on this model")
    advice = f" {_USE_ADAPTIVE}" if "adaptive" in card.thinking else ""
    raise invalid(f'"thinking.type.{kind}" is not supported for this model.{advice}')


def _check_disabled(call: Call) -> None:
    allowed, effort = call.card.disabled_effort, call.effort
    if allowed is not None and effort is not None and effort not in allowed:
        raise invalid(
            f"\"thinking.type.disabled\" is not supported for this model with effort '{effort}'. "
            f'Use an effort of {listed(allowed)}, or "thinking.type.adaptive".'
        )


def _check_sampling_with_thinking(body: dict[str, Any]) -> None:
    about = (
        "Please consult our documentation at "
        "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking"
    )
    if body.get("temperature") not in (None, 1):
        raise invalid(f"`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. {about}")
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        raise invalid(
            f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode. "
            f"{about}"
        )
    if body.get("top_k") is not None:
        raise invalid(f"`top_k` must be unset when thinking is enabled or in adaptive mode. {about}")


def _check_output_config(call: Call) -> None:
    config = call.body.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None:
        if not call.card.effort:
            raise bad("output_config.effort", "Extra inputs are not permitted")
        if effort not in _EFFORTS:
            raise bad("output_config.effort", f"Input should be {listed(_EFFORTS)}")
        if effort not in call.card.effort:
            levels = ", ".join(call.card.effort)
            raise invalid(f"This model does not support effort level '{effort}'. Supported levels: {levels}.")
    if config.get("format") is not None and not call.card.structured_output:
        raise bad("output_config.format", "Extra inputs are not permitted")


def _check_stop_sequences(sequences: list[str] | None) -> None:
    if any(not sequence.strip() for sequence in sequences or ()):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")


def check_lengths(call: Call, prompt_tokens: int) -> None:
    """``max_tokens`` against the model's cap, the prompt against its context window.

    :raises Refused: one of them is too large.
    """
    card, wanted = call.card, int(call.body["max_tokens"])
    if wanted > card.max_output:
        raise invalid(
            f"max_tokens: {wanted} > {card.max_output}, which is the maximum allowed number of output tokens for "
            f"{call.first_party_id}"
        )
    if prompt_tokens > card.context:
        raise invalid(f"prompt is too long: {prompt_tokens} tokens > {card.context} maximum")
    if not _is_45_or_newer(card) and prompt_tokens + wanted > card.context:
        raise invalid(
            f"input length and `max_tokens` exceed context limit: {prompt_tokens} + {wanted} > {card.context}, "
            "decrease input length or `max_tokens` and try again"
        )
