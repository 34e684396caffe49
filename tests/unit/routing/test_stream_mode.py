"""Which client gets which kind of stream: nobody who asked for one loses it, and the operator has the first word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelmux.routing.stream_mode import BUILTIN, MAX_BYTES, MAX_MODES, ClientRule, Mode, StreamModes

AUTO = StreamModes()


def headers(agent: str | None = None, **others: str) -> list[tuple[bytes, bytes]]:
    pairs = {"host": "gateway", **({} if agent is None else {"user-agent": agent}), **others}
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs.items()]


STREAMERS = [
    "AsyncOpenAI/Python 3.54.0",
    "OpenAI/JS 7.55.0",
    "curl/8.5.0",
    "Wget/1.21.4",
    "HTTPie/3.2.2",
    "python-requests/2.32.3",
    "PostmanRuntime/7.43.0",
    "insomnia/10.3.0",
    "Thunder Client (https://www.thunderclient.com)",
    "ai-sdk/openai-compatible/3.0.92 ai-sdk/provider-utils/5.0.1 runtime/vercel-edge",
    "knowledge-base/1.0",
    "",
]


@pytest.mark.parametrize("agent", STREAMERS)
@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/event-stream"])
def test_sdks_and_tools_get_the_stream_they_ask_for(agent: str, accept: str) -> None:
    """The 1.x program gave those whose Accept names no event stream a JSON body, which breaks the official SDKs."""
    assert AUTO.find(headers(agent, accept=accept)) == "standard"


BUFFERED = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Windows NT 10.0) Edge/18.19045",
    "Edge/18.19045",
    "vscode/1.122.0",
    "Visual Studio Code 1.122",
    "IntelliJ IDEA/2026.2",
    "RustRover/2026.1",
    "JetBrains AI Assistant",
    "PyCharm 2026.2",
    "CLion",
    "WebStorm",
    "PhpStorm",
]


@pytest.mark.parametrize("agent", BUFFERED)
@pytest.mark.parametrize("change", [str.lower, str.upper, str])
def test_browsers_and_ides_get_larger_pieces(agent: str, change: type[str]) -> None:
    assert AUTO.find(headers(change(agent))) == "buffered"


def test_goose_gets_the_answer_whole_whatever_it_runs_in() -> None:
    assert AUTO.find(headers("x", openai_organization="acme-BaseBox-1")) == "single"
    assert AUTO.find(headers("x", openai_project="goose-GUI")) == "single"
    assert AUTO.find(headers("Mozilla Chrome/141", openai_project="gui")) == "single"
    assert AUTO.find(headers("x", openai_organization="gui", openai_project="basebox")) == "standard"


def test_a_client_that_sends_no_user_agent_gets_a_stream() -> None:
    assert AUTO.find([]) == "standard"
    assert AUTO.find(headers()) == "standard"


@pytest.mark.parametrize("mode", ["standard", "buffered", "single"])
def test_a_mode_that_is_not_auto_ends_the_guessing(mode: Mode) -> None:
    modes = StreamModes(mode)
    for agent in ("curl/8", "Mozilla Chrome/141", "PyCharm"):
        assert modes.find(headers(agent, openai_project="gui")) == mode


@pytest.mark.parametrize("mode", ["auto", "standard", "buffered", "single"])
def test_the_operators_rules_come_before_everything_and_the_first_match_wins(mode: Mode) -> None:
    rules = [
        ClientRule("json", user_agent="Chrome", header="X-Old", contains="yes"),
        ClientRule("single", user_agent="chrome"),
        ClientRule("buffered", user_agent="chrome"),
    ]
    modes = StreamModes(mode, rules)
    assert modes.find(headers("Chrome/141", x_old="YES, please")) == "json"
    assert modes.find(headers("Chrome/141", x_old="no")) == "single"
    assert modes.find(headers("Chrome/141")) == "single"
    assert modes.find(headers("curl/8", x_old="yes")) == ("standard" if mode == "auto" else mode)


def test_a_header_without_a_text_has_to_be_there_only() -> None:
    modes = StreamModes("auto", [ClientRule("buffered", header="X-Slow")])
    assert modes.find(headers("curl/8", x_slow="")) == "buffered"
    assert modes.find(headers("curl/8", x_slower="1")) == "standard"


def test_any_header_of_a_repeated_name_counts() -> None:
    modes = StreamModes("auto", [ClientRule("single", header="x-tag", contains="b")])
    assert modes.find([(b"x-tag", b"a"), (b"x-tag", b"b")]) == "single"
    assert AUTO.find([(b"user-agent", b"curl/8"), (b"user-agent", b"PyCharm")]) == "buffered"


def test_a_rule_that_asks_for_nothing_is_for_everybody() -> None:
    assert StreamModes("buffered", [ClientRule("json")]).find([]) == "json"


def test_headers_need_not_be_ascii_nor_even_text() -> None:
    modes = StreamModes(
        "auto", [ClientRule("single", user_agent="GRÖẞE"), ClientRule("json", header="x", contains="ü")]
    )
    assert modes.find([(b"user-agent", "größe/1".upper().encode())]) == "standard"
    assert modes.find([(b"user-agent", "gröẞe/1".encode())]) == "single"
    assert modes.find([(b"x", "Ü".encode())]) == "json"
    assert modes.find([(b"x", "Ü".encode("latin-1"))]) == "json"
    assert modes.find([(b"x", b"\xff\xfe\x00"), (b"user-agent", bytes(range(128, 256)))]) == "standard"


def test_clients_that_send_ever_new_headers_fill_no_memory_and_still_get_their_mode() -> None:
    """Risk: modes are remembered by headers that clients choose, without a bound; or a remembered mode is another
    client's."""
    modes = StreamModes()
    for number in range(3 * MAX_MODES):
        kind = ("curl", "vscode")[number % 2]
        assert modes.find(headers(f"{kind}/{number}")) == ("standard", "buffered")[number % 2]
    long = "x" * MAX_BYTES
    for agent, mode in ((long, "standard"), (f"{long} chrome", "buffered")) * 2:
        assert modes.find(headers(agent)) == mode
    assert len(modes._modes) == MAX_MODES


def test_no_header_that_a_rule_looks_at_is_forgotten_by_what_is_remembered() -> None:
    """Risk: two clients with the same user agent and another header that a rule asks for get the same mode."""
    modes = StreamModes("auto", [ClientRule("single", user_agent="agent", header="x-kind", contains="batch")])
    for _ in range(2):
        assert modes.find(headers("agent/1", **{"x-kind": "batch"})) == "single"
        assert modes.find(headers("agent/1", **{"x-kind": "chat"})) == "standard"
        assert modes.find(headers("agent/1", accept="text/event-stream")) == "standard"
        assert modes.find([]) == "standard"


def test_long_headers_are_not_kept() -> None:
    """Risk: a few clients with headers of 64 kB each hold megabytes for as long as the gateway runs."""
    modes = StreamModes()
    modes.find(headers("x" * (MAX_BYTES + 1)))
    assert not modes._modes


def test_no_built_in_rule_takes_the_stream_away() -> None:
    assert {rule.mode for rule in BUILTIN} == {"buffered", "single"}


def test_the_page_shows_the_built_in_rules_in_their_order() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "streaming.md").read_text("utf-8")
    shown = re.findall(r"^\| [^|]* \| `([^`]*)` \| `([^`]*)` \| `([^`]*)` \|$", page, re.MULTILINE)
    assert shown == [
        ("user-agent", rule.user_agent, rule.mode) if rule.user_agent else (rule.header, rule.contains, rule.mode)
        for rule in BUILTIN
    ]
