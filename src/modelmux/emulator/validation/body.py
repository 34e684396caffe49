"""The shape of a request body under the betas it enables (anthropic-vertex.md 4, messages.md 2 to 4).

Fields of Anthropic's own API that Vertex AI does not have are absent here, so they are rejected as extra inputs. So are
fields whose beta is missing: header and field come in pairs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from modelmux.emulator.model.signatures import BINDING_BETA
from modelmux.emulator.validation.betas import FAST_MODE, KNOWN
from modelmux.emulator.validation.checks import (
    Check,
    anything,
    array,
    boolean,
    field_error,
    integer,
    literal,
    mapping,
    nullable,
    number,
    record,
    string,
    string_or,
    tagged,
)
from modelmux.emulator.validation.content import BETA_BLOCKS, BLOCKS, CACHE_CONTROL, SYSTEM, tool_result
from modelmux.emulator.validation.context_management import edits
from modelmux.emulator.validation.tools import BETA_TOOLS, TOOL_CHOICE, TOOLS

_TYPE: Final = {"type": anything}
_TASK_BUDGETS: Final = frozenset({"task-budgets-2026-03-13"})
_MESSAGE_CONFIG: Final = frozenset({"per-turn-control-2026-07-01", "mid-conversation-output-config-2026-07-01"})
_TASK_BUDGET: Final = record(
    {"type": literal("tokens"), "total": integer(minimum=1)}, {"remaining": nullable(integer(minimum=0))}
)


def check_body(body: dict[str, Any], betas: frozenset[str], *, counting: bool) -> None:
    """Check the shape of a body.

    :param counting: a body of token counting. It enables no betas; their fields are accepted without.
    :raises ApiError: with the path of the first field that is missing, invalid or an extra input.
    """
    _body_check(KNOWN if counting else betas & KNOWN, counting=counting)(body, "")


@lru_cache(maxsize=64)
def _body_check(betas: frozenset[str], *, counting: bool) -> Check:
    optional: dict[str, Check] = {
        "system": SYSTEM,
        "thinking": nullable(_thinking(betas)),
        "output_config": nullable(_output_config(betas)),
        "tools": nullable(array(tagged(_with_betas(TOOLS, BETA_TOOLS, betas), default="custom"))),
        "tool_choice": TOOL_CHOICE,
        "cache_control": CACHE_CONTROL,
    }
    known_edits = edits(betas)
    if known_edits:
        optional["context_management"] = nullable(record({}, {"edits": array(tagged(known_edits))}))
    required: dict[str, Check] = {"messages": array(_message(betas))}
    if counting:
        # The SDK sends anthropic_version; the service does not require it here.
        return record({"model": string(min_length=1), **required}, {**optional, "anthropic_version": string()})
    return record(
        {"anthropic_version": string(), "max_tokens": integer(minimum=0), **required},
        {**optional, **_generation_fields(betas)},
    )


def _generation_fields(betas: frozenset[str]) -> dict[str, Check]:
    """The optional fields that token counting does not accept."""
    fields: dict[str, Check] = {
        "anthropic_beta": nullable(array(string())),
        "stream": nullable(boolean),
        "stop_sequences": nullable(array(string(min_length=1))),
        "metadata": nullable(record({}, {"user_id": nullable(string(max_length=256))})),
        "temperature": nullable(number(minimum=0.0, maximum=1.0)),
        "top_p": nullable(number(minimum=0.0, maximum=1.0)),
        "top_k": nullable(integer(minimum=0)),
    }
    if "compact-2026-09-04" in betas:
        fields["compaction"] = nullable(record({"type": literal("summarize")}, {"instructions": nullable(string())}))
    if "dangerous-tool-use-2026-09-03" in betas:
        fields["safeguards"] = anything
    if FAST_MODE in betas:
        fields["speed"] = nullable(literal("standard", "fast"))
    return fields


def _message(betas: frozenset[str]) -> Check:
    """A message by its role: betas add fields to mid-conversation system messages only."""
    blocks = {**_with_betas(BLOCKS, BETA_BLOCKS, betas), "tool_result": tool_result(betas)}
    required: dict[str, Check] = {"role": string(), "content": string_or(array(tagged(blocks)))}
    plain = record(required)
    optional: dict[str, Check] = {}
    if betas & _MESSAGE_CONFIG:
        optional["output_config"] = nullable(record({}, _message_config(betas)))
    if "mid-conversation-system-clear-at-2026-08-21" in betas:
        optional["clear_at"] = nullable(literal("next_user_message", "never"))
    system = record(required, optional)
    system_without_content = record({"role": string()}, optional)

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict) or value.get("role") != "system":
            plain(value, path)
        elif "output_config" in value and "content" not in value:
            system_without_content(value, path)
        else:
            system(value, path)

    return check


def _message_config(betas: frozenset[str]) -> dict[str, Check]:
    config: dict[str, Check] = {"effort": nullable(string())}
    if betas & _TASK_BUDGETS:
        config["task_budget"] = nullable(_TASK_BUDGET)
    return config


def _with_betas(
    always: dict[str, Check], beta: dict[str, tuple[tuple[str, ...], Check]], betas: frozenset[str]
) -> dict[str, Check]:
    return {**always, **{name: check for name, (any_of, check) in beta.items() if betas & set(any_of)}}


def _thinking(betas: frozenset[str]) -> Check:
    displays = ["summarized", "omitted"]
    if "thinking-display-updates-2026-08-18" in betas:
        displays.append("updates")
    binding: dict[str, Check] = {}
    if BINDING_BETA in betas:
        binding["block_binding"] = nullable(
            record({}, {"prefix_mismatch_behavior": nullable(literal("error", "drop_block"))})
        )
    display: dict[str, Check] = {"display": nullable(literal(*displays)), **binding}
    return tagged(
        {
            "adaptive": record(_TYPE, display),
            "enabled": record({**_TYPE, "budget_tokens": integer(minimum=1024)}, display),
            "disabled": record(_TYPE, binding),
            "between_tools": record(_TYPE, binding),
        }
    )


def _output_config(betas: frozenset[str]) -> Check:
    return record({}, {**_message_config(betas), "format": nullable(_format)})


def _format(value: Any, path: str) -> None:
    record({"type": literal("json_schema"), "schema": mapping})(value, path)
    if not value["schema"]:
        raise field_error(f"{path}.schema", "Field required")
