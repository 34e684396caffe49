"""Shape of the request body (anthropic-vertex.md 4), as far as it depends on the betas that are on.

Fields of the first party that Vertex AI does not have are simply absent here, so they are extra inputs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from modelmux.emulator.binding import BINDING_BETA
from modelmux.emulator.shape import (
    Check,
    anything,
    array,
    bad,
    boolean,
    integer,
    literal,
    mapping,
    nullable,
    number,
    record,
    string,
    tagged,
    text_or,
)
from modelmux.emulator.shapes_content import BETA_BLOCKS, BLOCKS, CACHE_CONTROL, SYSTEM
from modelmux.emulator.shapes_tools import BETA_TOOLS, TOOL_CHOICE, TOOLS

_TYPE: Final = {"type": anything}
_COMPACT_BETAS: Final = frozenset({"compact-2026-01-12", "compact-2026-09-04"})


@lru_cache(maxsize=64)
def body_shape(betas: frozenset[str], counting: bool) -> Check:
    """The checker of a whole body under these betas; ``counting`` is the shape of token counting."""
    message = record({"role": string(), "content": text_or(array(tagged(_with(BLOCKS, BETA_BLOCKS, betas))))})
    optional: dict[str, Check] = {
        "anthropic_beta": nullable(array(string())),
        "system": SYSTEM,
        "thinking": nullable(_thinking(betas)),
        "output_config": nullable(_output_config(betas)),
        "tools": nullable(array(tagged(_with(TOOLS, BETA_TOOLS, betas), default="custom"))),
        "tool_choice": TOOL_CHOICE,
        "cache_control": CACHE_CONTROL,
    }
    if betas & _COMPACT_BETAS or "context-management-2025-06-27" in betas:
        optional["context_management"] = nullable(record({}, {"edits": array(mapping)}))
    required: dict[str, Check] = {"messages": array(message)}
    if counting:
        # The anthropic_version is sent by the SDK and needed nowhere.
        return record({"model": string(least=1), **required}, {**optional, "anthropic_version": string()})
    if "compact-2026-09-04" in betas:
        optional["compaction"] = nullable(record({"type": literal("summarize")}, {"instructions": nullable(string())}))
    optional |= {
        "stream": nullable(boolean),
        "stop_sequences": nullable(array(string(least=1))),
        "metadata": nullable(record({}, {"user_id": nullable(string(most=256))})),
        "temperature": nullable(number(least=0.0, most=1.0)),
        "top_p": nullable(number(least=0.0, most=1.0)),
        "top_k": nullable(integer(least=0)),
    }
    return record({"anthropic_version": string(), "max_tokens": integer(least=0), **required}, optional)


def _with(
    plain: dict[str, Check], beta: dict[str, tuple[tuple[str, ...], Check]], betas: frozenset[str]
) -> dict[str, Check]:
    return {**plain, **{name: check for name, (needed, check) in beta.items() if betas & set(needed)}}


def _thinking(betas: frozenset[str]) -> Check:
    displays = ["summarized", "omitted"]
    if "thinking-display-updates-2026-08-18" in betas:
        displays.append("updates")
    extra: dict[str, Check] = {}
    if BINDING_BETA in betas:
        extra["block_binding"] = nullable(
            record({}, {"prefix_mismatch_behavior": nullable(literal("error", "drop_block"))})
        )
    shown: dict[str, Check] = {"display": nullable(literal(*displays)), **extra}
    return tagged(
        {
            "adaptive": record(_TYPE, shown),
            "enabled": record({**_TYPE, "budget_tokens": integer(least=1024)}, shown),
            "disabled": record(_TYPE, extra),
            "between_tools": record(_TYPE, extra),
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
        raise bad(f"{path}.schema", "Field required")
