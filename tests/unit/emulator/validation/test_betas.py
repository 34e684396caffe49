"""Which betas a request enables, which are refused, and what they enable."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.emulator import EmulatorSettings, create_emulator
from modelmux.emulator.faults.scenario import parse
from modelmux.emulator.validation.betas import FAST_MODE, KNOWN
from support.emulator_calls import ask, body_of, emulator, error_message, text, tool

APP = emulator()
OLD = "claude-opus-4-1@20250805"
CLAUDE_CODE_IN_VERTEX_MODE = (
    "claude-code-20250219,interleaved-thinking-2025-05-14,web-search-2025-03-05,thinking-token-count-2026-05-13,"
    "tool-search-tool-2025-10-19,effort-2025-11-24"
)
#: The rows of messages.md 3 that say "drop", with a version where the sheet has none.
NOT_SERVED = [
    "files-api-2025-04-14", "mcp-client-2025-11-20", "mcp-client-2026-09-15", "code-execution-2025-08-25",
    "skills-2025-10-02", "web-fetch-2025-09-10", "advisor-tool-2026-03-01", "message-batches-2024-09-24",
    "managed-agents-2026-04-01", "message-threads-2026-08-01", "cache-diagnosis-2026-04-07", "output-300k-2026-03-24",
    "server-side-fallback-2026-07-01", "advanced-tool-use-2025-11-20", FAST_MODE,
]  # fmt: skip


async def test_the_betas_of_claude_code_are_accepted() -> None:
    assert (await ask(APP, body_of(), betas=CLAUDE_CODE_IN_VERTEX_MODE)).status == 200


@pytest.mark.parametrize("beta", sorted(KNOWN - {FAST_MODE}))
async def test_a_known_beta_is_accepted(beta: str) -> None:
    assert (await ask(APP, body_of(), betas=beta)).status == 200


@pytest.mark.parametrize("beta", NOT_SERVED)
async def test_a_beta_of_a_feature_that_is_not_served_is_refused(beta: str) -> None:
    message = await error_message(APP, body_of(), betas=f"effort-2025-11-24,{beta}")
    assert message == (
        f"Unexpected value(s) `{beta}` for the `anthropic-beta` header. Please consult our documentation at "
        "platform.claude.com/docs or try again without the header."
    )


async def test_all_refused_betas_are_named_in_one_error() -> None:
    message = await error_message(APP, body_of(), betas="skills-2025-10-02, x-1 ,,files-api-2025-04-14")
    assert message.startswith(
        "Unexpected value(s) `skills-2025-10-02`, `files-api-2025-04-14` for the `anthropic-beta`"
    )


async def test_tool_search_is_refused_by_models_before_4_5() -> None:
    message = await error_message(APP, body_of(), model=OLD, betas="tool-search-tool-2025-10-19")
    assert message.startswith("Unexpected value(s) `tool-search-tool-2025-10-19` for")


async def test_an_unknown_beta_is_accepted_unless_betas_are_strict() -> None:
    assert (await ask(APP, body_of(), betas="tomorrow-2027-01-01")).status == 200
    strict = emulator(strict_betas=True)
    message = await error_message(strict, body_of(), betas="tomorrow-2027-01-01,effort-2025-11-24,x-1")
    assert message.startswith("Unexpected value(s) `tomorrow-2027-01-01`, `x-1` for the `anthropic-beta` header.")
    assert (await ask(strict, body_of(), betas=CLAUDE_CODE_IN_VERTEX_MODE)).status == 200


async def test_settings_refuse_a_beta_in_one_location() -> None:
    app = emulator(refused_betas=("effort-2025-11-24@us*", "x-*"))
    assert (await ask(app, body_of(), betas="effort-2025-11-24")).status == 200
    for location in ("us", "us-east5"):
        assert (await ask(app, body_of(), betas="effort-2025-11-24", location=location)).status == 400
    assert (await ask(app, body_of(), betas="x-1")).status == 400


def scenario(**fault: Any) -> Any:
    document = {"rule": [{"match": {"location": "us-east5"}, "fault": fault}]}
    return create_emulator(EmulatorSettings(tokens_per_second=0, scenario=parse(document)))


async def test_a_rule_refuses_a_beta_only_where_and_while_it_matches() -> None:
    app = scenario(refused_betas=["x-*", "y-1"], times=1)
    for _ in range(2):  # a request without the beta does not use the rule up
        assert (await ask(app, body_of(), betas="z-1", location="us-east5")).status == 200
    assert (await ask(app, body_of(), betas="x-1")).status == 200
    assert "`x-1`, `y-1`" in await error_message(app, body_of(), betas="x-1,z-1,y-1", location="us-east5")
    assert (await ask(app, body_of(), betas="x-1", location="us-east5")).status == 200


async def test_a_rule_refuses_a_field_by_its_path() -> None:
    app = scenario(refused_fields="output_config.effort, cache_control")
    body = body_of([text("Hi"), text("there", cache_control={"type": "ephemeral"})])
    assert (await ask(app, body)).status == 200
    message = await error_message(app, body, location="us-east5")
    assert message == "messages.0.content.1.text.cache_control: Extra inputs are not permitted"
    assert (await ask(app, body_of(), location="us-east5")).status == 200
    message = await error_message(
        emulator(), body_of("Hi [[emulator: refused_fields=input_schema]]", tools=[tool()]), location="us-east5"
    )
    assert message == "tools.0.custom.input_schema: Extra inputs are not permitted"


async def test_a_directive_refuses_a_beta() -> None:
    message = await error_message(APP, body_of("Hi [[emulator: refused_betas=x-1,y-1]]"), betas="y-1,z-1")
    assert message.startswith("Unexpected value(s) `y-1` for the `anthropic-beta` header.")


async def test_keys_of_the_clients_own_data_are_not_refused() -> None:
    words = "Hi [[emulator: refused_fields=cache_control]]"
    assert (
        await ask(APP, body_of(words, tools=[tool(properties={"cache_control": {"type": "string"}})]))
    ).status == 200


async def test_betas_in_the_body_count_unless_they_are_header_only() -> None:
    edits = {"context_management": {"edits": []}}
    assert (await ask(APP, body_of(anthropic_beta=["context-management-2025-06-27"], **edits))).status == 200
    compaction = {"compaction": {"type": "summarize"}}
    assert (await ask(APP, body_of(anthropic_beta=["compact-2026-09-04"], **compaction))).status == 400
    refused = await error_message(APP, body_of(anthropic_beta=["skills-2025-10-02"]))
    assert refused.startswith("Unexpected value(s) `skills-2025-10-02` for the `anthropic_beta` field.")
