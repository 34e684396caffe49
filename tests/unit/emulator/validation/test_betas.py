"""Which betas a request enables, and what they enable."""

from __future__ import annotations

from support.emulator_calls import ask, body_of, emulator, error_message, tool

APP = emulator()


async def test_an_unknown_beta_is_rejected_by_name() -> None:
    message = await error_message(
        APP, body_of(), betas="interleaved-thinking-2025-05-14, prompt-caching-scope-2026-01-05,x-1"
    )
    assert message.startswith(
        "Unexpected value(s) `prompt-caching-scope-2026-01-05`, `x-1` for the `anthropic-beta` header."
    )


async def test_betas_enable_their_fields_and_tools() -> None:
    tool_search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    computer = {"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600}
    for betas, fields in {
        "context-management-2025-06-27": {"context_management": {"edits": []}},
        "tool-search-tool-2025-10-19": {"tools": [tool_search, {**tool(), "defer_loading": True}]},
        "computer-use-2025-01-24": {"tools": [computer]},
        "compact-2026-09-04": {"compaction": {"type": "summarize"}},
    }.items():
        assert (await ask(APP, body_of(**fields), betas=betas)).status == 200, betas
        assert (await ask(APP, body_of(**fields))).status == 400, betas


async def test_betas_in_the_body_count_unless_they_are_header_only() -> None:
    edits = {"context_management": {"edits": []}}
    assert (await ask(APP, body_of(anthropic_beta=["context-management-2025-06-27"], **edits))).status == 200
    compaction = {"compaction": {"type": "summarize"}}
    assert (await ask(APP, body_of(anthropic_beta=["compact-2026-09-04"], **compaction))).status == 400
    assert "anthropic_beta" in await error_message(APP, body_of(anthropic_beta=["nonsense"]))
