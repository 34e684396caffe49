"""Risk: prompts are kept where nobody expects them, or workers that cannot see each other's responses say nothing."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.dialects.aes_siv_sealer import AesSivSealer
from modelmux.runtime import Runtime
from modelmux.store.local_state import LocalState
from modelmux.store.memory_responses import MemoryResponseStore
from modelmux.store.no_responses import NoResponseStore
from modelmux.store.open_responses import OpenedResponses, describe_duration, dialect_options, open_responses
from modelmux.store.sqlite_responses import SqliteResponseStore

KEYS = [bytes(range(n, n + 64)).hex() for n in (0, 64)]
NOTHING = "no responses are stored"


def opened(directory: Path | None, problem: str | None = None, **settings: Any) -> OpenedResponses:
    return open_responses(Config.from_dict(settings), LocalState(directory, problem), Runtime())


def test_one_process_keeps_them_in_memory_and_writes_nothing(tmp_path: Path) -> None:
    responses = opened(tmp_path)
    assert isinstance(responses.store, MemoryResponseStore)
    assert responses.warning is None
    assert "in memory, prompts included, for 1 h" in responses.notice
    assert list(tmp_path.iterdir()) == []


def test_several_share_a_file_and_the_start_says_where_and_how_long(tmp_path: Path) -> None:
    responses = opened(tmp_path, server={"workers": 2}, responses={"ttl": "30d"})
    assert isinstance(responses.store, SqliteResponseStore)
    assert responses.store.path == tmp_path / "responses.sqlite3"
    assert responses.store.path.exists()
    assert f"in {responses.store.path}, prompts included, for 30 d" in responses.notice
    assert 'responses.store = "off"' in responses.notice
    assert isinstance(opened(tmp_path, responses={"store": "sqlite"}).store, SqliteResponseStore)


def test_off_stores_nothing_and_says_so(tmp_path: Path) -> None:
    responses = opened(tmp_path, server={"workers": 2}, responses={"store": "off"})
    assert isinstance(responses.store, NoResponseStore)
    assert (responses.largest, responses.notice, responses.warning) == (None, NOTHING, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store", ["memory", "off"])
def test_prompts_that_were_left_behind_are_reported(tmp_path: Path, store: str) -> None:
    opened(tmp_path, responses={"store": "sqlite"})
    warning = opened(tmp_path, responses={"store": store}).warning
    assert warning is not None
    assert warning.startswith(f"{tmp_path}/responses.sqlite3 has responses of an earlier start")
    assert "delete it, with -wal and -shm" in warning


def test_a_library_keeps_them_in_memory_whatever_the_number_of_workers() -> None:
    responses = opened(None, server={"workers": 2})
    assert isinstance(responses.store, MemoryResponseStore)
    assert responses.warning is None


def test_workers_that_do_not_share_are_reported(tmp_path: Path) -> None:
    responses = opened(tmp_path, server={"workers": 2}, responses={"store": "memory"})
    assert isinstance(responses.store, MemoryResponseStore)
    assert '"sqlite"' in (responses.warning or "")
    opened(tmp_path, responses={"store": "sqlite"})
    both = opened(tmp_path, server={"workers": 2}, responses={"store": "memory"}).warning or ""
    assert both.startswith(f"{responses.warning}; {tmp_path}/responses.sqlite3")


@pytest.mark.parametrize(
    ("content", "problem"), [("not a database" * 100, "file is not a database"), ("", "not a file of stored responses")]
)
def test_a_file_that_cannot_be_used_is_to_be_moved_away(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "responses.sqlite3").write_text(content)
    warning = opened(tmp_path, responses={"store": "sqlite"}).warning or ""
    assert f"{tmp_path}/responses.sqlite3: {problem}" in warning
    assert "move the file away" in warning


@pytest.mark.parametrize("settings", [{"server": {"workers": 2}}, {"responses": {"store": "sqlite"}}])
def test_a_file_that_cannot_be_used_turns_the_store_off_with_a_remedy(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "file").touch()
    for responses, problem in (
        (opened(tmp_path / "file", **settings), "is not a directory"),
        (opened(None, "there is no home directory", **settings), "there is no home directory"),
    ):
        assert isinstance(responses.store, NoResponseStore)
        assert (responses.largest, responses.notice) == (None, NOTHING)
        assert problem in (responses.warning or "")
        assert "server.state_dir" in (responses.warning or "")


def test_a_python_without_sqlite_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "modelmux.store.sqlite_responses", None)
    responses = opened(tmp_path, responses={"store": "sqlite"})
    assert isinstance(responses.store, NoResponseStore)
    assert "no module sqlite3" in (responses.warning or "")


def test_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    assert opened(tmp_path).largest == 8 * 2**20
    assert opened(tmp_path, responses={"max_bytes": "4MiB"}).largest == 2**20


def test_dialects_are_told_of_the_settings_and_of_the_store() -> None:
    state = LocalState(None)
    settings = {"hosted_tools": "drop", "web_search": True, "done_marker": True, "codex_refusals_as_text": False}
    config = Config.from_dict({"responses": settings})
    options = dialect_options(config, state, OpenedResponses(NoResponseStore()))
    assert (options.stores_responses, options.drops_hosted_tools, options.web_search) == (False, True, True)
    assert (options.sends_done, options.codex_refusals_as_text) == (True, False)
    options = dialect_options(Config(), state, open_responses(Config(), state, Runtime()))
    assert (options.stores_responses, options.max_stored_bytes, options.drops_hosted_tools) == (True, 2**23, False)
    assert (options.web_search, options.sends_done, options.codex_refusals_as_text) == (False, False, True)


def test_configured_keys_come_before_the_one_that_was_made() -> None:
    state, responses = LocalState(None), OpenedResponses(NoResponseStore())
    sealed = AesSivSealer([bytes.fromhex(KEYS[0])]).seal(b"data", b"ann")
    made = dialect_options(Config(), state, responses).sealer
    assert made is not None
    assert made.open(sealed, b"ann") is None
    assert AesSivSealer([state.seal_key()]).open(made.seal(b"data", b"ann"), b"ann") == b"data"
    both = dialect_options(Config.from_dict({"server": {"seal_keys": KEYS[::-1]}}), state, responses).sealer
    assert both is not None
    assert both.open(sealed, b"ann") == b"data"
    assert both.seal(b"data", b"ann") == AesSivSealer([bytes.fromhex(KEYS[1])]).seal(b"data", b"ann")
    with pytest.raises(ConfigError, match=r"server.seal_keys\[0\]"):
        dialect_options(Config.from_dict({"server": {"seal_keys": ["k"]}}), state, responses)


def test_with_configured_keys_none_is_made(tmp_path: Path) -> None:
    state = LocalState(tmp_path)
    dialect_options(Config.from_dict({"server": {"seal_keys": KEYS}}), state, OpenedResponses(NoResponseStore()))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(2_592_000, "30 d"), (3600, "1 h"), (5400, "90 min"), (45, "45 s"), (0.5, "0.5 s")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text
