"""Rules that depend on the model and the API version: sampling, thinking, effort (anthropic-vertex.md 2).

The facts are from the catalog; the messages are the real ones where a source quotes them (6.3).
"""

from __future__ import annotations

from typing import Any, Final

from modelmux.catalog import ModelCard
from modelmux.emulator.call import NEW_API, VERSIONS, EmulatedCall
from modelmux.emulator.errors import invalid_request
from modelmux.emulator.model_facts import is_4_5_or_newer
from modelmux.emulator.validation.checks import field_error, quoted_list

_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_USE_ADAPTIVE: Final = 'Use "thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
_SAMPLING: Final = ("temperature", "top_p", "top_k")


def check_model(call: EmulatedCall) -> None:
    """Check every rule that depends on the model alone.

    :raises ApiError: a rule is violated.
    """
    _check_version(call)
    _check_sampling(call)
    _check_thinking(call)
    _check_output_config(call)
    _check_stop_sequences(call.body.get("stop_sequences"))


def _check_version(call: EmulatedCall) -> None:
    version = call.body["anthropic_version"]
    if version not in VERSIONS:
        raise field_error("anthropic_version", f"Input should be {quoted_list(VERSIONS)}")


def _check_sampling(call: EmulatedCall) -> None:
    body, present = call.body, [name for name in _SAMPLING if call.body.get(name) is not None]
    if body["anthropic_version"] == NEW_API and present:
        raise field_error(present[0], "Extra inputs are not permitted")
    if call.card.sampling == "reject":
        for name in present:
            if name == "top_k" or body[name] != 1:
                raise invalid_request(f"`{name}` is deprecated for this model.")
        return
    if "temperature" in present and "top_p" in present and is_4_5_or_newer(call.card):
        raise invalid_request("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")


def _check_thinking(call: EmulatedCall) -> None:
    thinking, card = call.body.get("thinking"), call.card
    if thinking is not None:
        _check_type(thinking["type"], card)
        if thinking["type"] == "disabled":
            _check_disabled(call)
        if thinking["type"] == "enabled" and thinking["budget_tokens"] >= call.body["max_tokens"]:
            raise invalid_request(
                "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at "
                "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size"
            )
    if call.thinking_on and card.sampling == "accept":
        _check_sampling_with_thinking(call.body)


def _check_type(kind: str, card: ModelCard) -> None:
    if kind in card.thinking or (kind == "disabled" and not card.thinking):
        return
    if not card.thinking:
        raise invalid_request("thinking is not supported on this model")
    if kind == "adaptive":
        raise invalid_request("adaptive thinking is not supported on this model")
    advice = f" {_USE_ADAPTIVE}" if "adaptive" in card.thinking else ""
    raise invalid_request(f'"thinking.type.{kind}" is not supported for this model.{advice}')


def _check_disabled(call: EmulatedCall) -> None:
    allowed, effort = call.card.disabled_effort, call.effort
    if allowed is not None and effort is not None and effort not in allowed:
        raise invalid_request(
            f"\"thinking.type.disabled\" is not supported for this model with effort '{effort}'. "
            f'Use an effort of {quoted_list(allowed)}, or "thinking.type.adaptive".'
        )


def _check_sampling_with_thinking(body: dict[str, Any]) -> None:
    see = (
        "Please consult our documentation at "
        "https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking"
    )
    if body.get("temperature") not in (None, 1):
        raise invalid_request(f"`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. {see}")
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        raise invalid_request(
            f"`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled or in adaptive mode. "
            f"{see}"
        )
    if body.get("top_k") is not None:
        raise invalid_request(f"`top_k` must be unset when thinking is enabled or in adaptive mode. {see}")


def _check_output_config(call: EmulatedCall) -> None:
    config = call.body.get("output_config") or {}
    effort = config.get("effort")
    if effort is not None:
        if not call.card.effort:
            raise field_error("output_config.effort", "Extra inputs are not permitted")
        if effort not in _EFFORTS:
            raise field_error("output_config.effort", f"Input should be {quoted_list(_EFFORTS)}")
        if effort not in call.card.effort:
            levels = ", ".join(call.card.effort)
            raise invalid_request(f"This model does not support effort level '{effort}'. Supported levels: {levels}.")
    if config.get("format") is not None and not call.card.structured_output:
        raise field_error("output_config.format", "Extra inputs are not permitted")


def _check_stop_sequences(sequences: list[str] | None) -> None:
    if any(not sequence.strip() for sequence in sequences or ()):
        raise invalid_request("stop_sequences: each stop sequence must contain non-whitespace")
