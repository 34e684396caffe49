"""What was run with each client, and in which version: the line below the title of its page.

``python -m tools.docs.clients`` writes it between ``<!-- tried NAME -->`` and ``<!-- /tried -->``. Versions come from
the lock files that ``make clients`` installs from, so a page cannot claim another one.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

from msgspec import Struct

ROOT: Final = Path(__file__).resolve().parents[2]
_TESTS: Final = "tests/e2e/clients"
_NODE: Final = f"{_TESTS}/node/package.json"
#: Lock files, in the order in which a package is looked for.
_LOCKS: Final = ("clients", "clients-strands", "clients-litellm")


class Tried(Struct, frozen=True):
    """How a client was tried.

    :param packages: shown name -> package of a lock file, or ``npm:NAME`` for one of ``package.json``.
    :param tests: the files in ``tests/e2e/clients`` that run it.
    :param cases: what they do.
    :param by_hand: what was done without a test, with the version.
    :param source: title and URL of what the settings were taken from, where it was not run.
    """

    packages: dict[str, str] = {}
    tests: tuple[str, ...] = ()
    cases: str = ""
    by_hand: str = ""
    source: tuple[str, str] | None = None


_PROGRAMS: Final = "test_documented_programs.py"
_TALK: Final = "text, streams, tools, thinking, structured output, images, errors and streams that break"

TRIED: Final = {
    "claude-code": Tried(
        {"Claude Code": "npm:@anthropic-ai/claude-code-linux-x64"},
        ("test_claude_code.py",),
        "both modes, with tools, thinking, images, token counts, discovery of models, retries and errors",
    ),
    "codex": Tried(
        {"Codex": "npm:@openai/codex-linux-x64"},
        ("test_codex.py", "test_codex_sessions.py"),
        "streams, tools, MCP, patches, images, web search, compaction, retries and errors",
    ),
    "opencode": Tried(
        {"OpenCode": "npm:opencode-linux-x64-baseline"},
        ("test_opencode.py",),
        "streams, tools, thinking, an image and an error, with the first of the two settings",
    ),
    "openai-sdks": Tried(
        {"openai": "openai", "openai of npm": "npm:openai", "and": "npm:openai-6"},
        ("test_openai_python.py", "test_clients.py", "test_responses_clients.py", _PROGRAMS),
        f"both APIs: {_TALK}",
    ),
    "anthropic-sdks": Tried(
        {
            "anthropic": "anthropic",
            "@anthropic-ai/sdk": "npm:@anthropic-ai/sdk",
            "@anthropic-ai/vertex-sdk": "npm:@anthropic-ai/vertex-sdk",
        },
        ("test_messages_clients.py", _PROGRAMS),
        f"Messages and Vertex mode: {_TALK}, token counts and betas",
    ),
    "openai-agents": Tried(
        {"openai-agents": "openai-agents"},
        ("test_responses_clients.py", _PROGRAMS),
        f"{_TALK}, and handoffs",
    ),
    "ai-sdk": Tried(
        {
            "ai": "npm:ai",
            "@ai-sdk/anthropic": "npm:@ai-sdk/anthropic",
            "@ai-sdk/openai": "npm:@ai-sdk/openai",
            "@ai-sdk/openai-compatible": "npm:@ai-sdk/openai-compatible",
            "and ai": "npm:ai-6",
        },
        ("test_clients.py", "test_messages_clients.py", "test_responses_clients.py", _PROGRAMS),
        _TALK,
    ),
    "langchain": Tried(
        {"langchain-openai": "langchain-openai", "langchain-anthropic": "langchain-anthropic"},
        ("test_clients.py", "test_messages_clients.py", "test_responses_clients.py", _PROGRAMS),
        _TALK,
    ),
    "pydantic-ai": Tried(
        {"pydantic-ai-slim": "pydantic-ai-slim"},
        ("test_clients.py", "test_messages_clients.py", "test_responses_clients.py", _PROGRAMS),
        _TALK,
    ),
    "litellm": Tried(
        {"litellm": "litellm", "instructor": "instructor"},
        ("test_clients.py", _PROGRAMS),
        _TALK,
    ),
    "llama-index": Tried(
        {"llama-index-llms-openai-like": "llama-index-llms-openai-like"},
        (_PROGRAMS,),
        "the program below",
        by_hand="a stream, a tool call and structured output, on claude-sonnet-4-6",
    ),
    "smolagents": Tried(
        {"smolagents": "smolagents"},
        (_PROGRAMS,),
        "the program below, an agent with a tool",
    ),
    "agno": Tried({"agno": "agno"}, ("test_responses_clients.py", _PROGRAMS), _TALK),
    "haystack": Tried({"haystack-ai": "haystack-ai"}, ("test_responses_clients.py", _PROGRAMS), _TALK),
    "strands": Tried({"strands-agents": "strands-agents"}, ("test_responses_clients.py", _PROGRAMS), _TALK),
    "aider": Tried(
        by_hand="one message with aider 0.86.2 (`aider --message`)",
        source=("aider's documentation", "https://aider.chat/docs/"),
    ),
    "cline": Tried(source=("Cline's documentation", "https://docs.cline.bot/")),
    "continue": Tried(source=("Continue's documentation", "https://docs.continue.dev/")),
    "cursor": Tried(source=("Cursor's documentation", "https://cursor.com/docs")),
    "zed": Tried(source=("Zed's documentation", "https://zed.dev/docs/ai/llm-providers")),
    "jetbrains": Tried(
        source=("JetBrains' documentation", "https://www.jetbrains.com/help/ai-assistant/use-custom-models.html")
    ),
    "junie": Tried(source=("Junie's documentation", "https://junie.jetbrains.com/docs/custom-llm-models.html")),
    "vs-code": Tried(
        source=("VS Code's documentation", "https://code.visualstudio.com/docs")
    ),
    "llm": Tried(source=("llm's documentation", "https://llm.datasette.io/")),
    "goose": Tried(source=("goose's documentation", "https://block.github.io/goose/")),
    "open-webui": Tried(
        source=("Open WebUI's documentation", "https://docs.openwebui.com/")
    ),
    "librechat": Tried(
        source=(
            "LibreChat's documentation",
            "https://www.librechat.ai/docs",
        )
    ),
    "n8n": Tried(
        source=("n8n's documentation", "https://docs.n8n.io/"),
    ),
}  # fmt: skip


@cache
def version(package: str) -> str:
    """The locked version of a package.

    :raises LookupError: no lock file has it.
    """
    if package.startswith("npm:"):
        manifest = json.loads((ROOT / _NODE).read_text("utf-8"))
        wanted = (manifest["dependencies"] | manifest["optionalDependencies"])[package.removeprefix("npm:")]
        number = re.search(r"(\d+\.\d+\.\d+)", wanted)
        if number is None:
            raise LookupError(package)
        return number[1]
    for lock in _LOCKS:
        text = (ROOT / "requirements" / f"{lock}.txt").read_text("utf-8")
        found = re.search(rf"^{re.escape(package)}==([^ \\;]+)", text, re.MULTILINE)
        if found:
            return found[1]
    raise LookupError(package)


def line(name: str) -> str:
    """What the page says."""
    tried = TRIED[name]
    sentences = []
    if tried.tests:
        versions = ", ".join(f"{shown} {version(package)}" for shown, package in tried.packages.items())
        tests = ", ".join(f"[{test}](../../{_TESTS}/{test})" for test in tried.tests)
        sentences.append(f"**Tested** with {versions.replace(', and ', ' and ')}: {tried.cases} ({tests}).")
    if tried.by_hand:
        sentences.append(
            f"**Run by hand** in November 2026, against the emulator: {tried.by_hand}. No test repeats it."
        )
    if not tried.tests and not tried.by_hand:
        sentences.append("**Not run here.**")
    if tried.source is not None:
        title, url = tried.source
        sentences.append(f"The settings are those of [{title}]({url}), seen in November 2026.")
    return "\n".join(sentences) + "\n"
