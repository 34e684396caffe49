"""The shape of a request body under the betas it enables (anthropic-vertex.md 4).

Fields of Anthropic's own API that Vertex AI does not have are absent here, so they are rejected as extra inputs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from modelmux.emulator.model.signatures import BINDING_BETA
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
from modelmux.emulator.validation.content import BETA_BLOCKS, BLOCKS, CACHE_CONTROL, SYSTEM
from modelmux.emulator.validation.tools import BETA_TOOLS, TOOL_CHOICE, TOOLS

_TYPE: Final = {"type": anything}
_COMPACT_BETAS: Final = frozenset({"compact-2026-01-12", "compact-2026-09-04"})


@lru_cache(maxsize=64)
def body_check(betas: frozenset[str], *, counting: bool) -> Check:
    """The check of a request body under these betas; ``counting``: a body of token counting."""
    message = record({"role": string(), "content": string_or(array(tagged(_with_betas(BLOCKS, BETA_BLOCKS, betas))))})
    optional: dict[str, Check] = {
        "anthropic_beta": nullable(array(string())),
        "system": SYSTEM,
        "thinking": nullable(_thinking(betas)),
        "output_config": nullable(_output_config(betas)),
        "tools": nullable(array(tagged(_with_betas(TOOLS, BETA_TOOLS, betas), default="custom"))),
        "tool_choice": TOOL_CHOICE,
        "cache_control": CACHE_CONTROL,
    }
    if betas & _COMPACT_BETAS or "context-management-2025-06-27" in betas:
        optional["context_management"] = nullable(record({}, {"edits": array(mapping)}))
    required: dict[str, Check] = {"messages": array(message)}
    if counting:
        # The SDK sends anthropic_version; the service does not require it here.
        return record({"model": string(min_length=1), **required}, {**optional, "anthropic_version": string()})
    if "compact-2026-09-04" in betas:
        optional["compaction"] = nullable(record({"type": literal("summarize")}, {"instructions": nullable(string())}))
    optional |= {
        "stream": nullable(boolean),
        "stop_sequences": nullable(array(string(min_length=1))),
        "metadata": nullable(record({}, {"user_id": nullable(string(max_length=256))})),
        "temperature": nullable(number(minimum=0.0, maximum=1.0)),
        "top_p": nullable(number(minimum=0.0, maximum=1.0)),
        "top_k": nullable(integer(minimum=0)),
    }
    return record({"anthropic_version": string(), "max_tokens": integer(minimum=0), **required}, optional)


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
    optional: dict[str, Check] = {
        "effort": nullable(string()),
        "format": nullable(_format),
    }
    if any(beta.startswith("task-budgets-") for beta in betas):
        optional["task_budget"] = nullable(mapping)
    return record({}, optional)


def _format(value: Any, path: str) -> None:
    record({"type": literal("json_schema"), "schema": mapping})(value, path)
    if not value["schema"]:
        raise field_error(f"{path}.schema", "Field required")
