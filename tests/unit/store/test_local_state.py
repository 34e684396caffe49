"""Risk: two processes with different keys, a key that others can read, or one that a restart loses without a word."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modelmux.config import Config
from modelmux.store import files
from modelmux.store.counters.shared import SharedCounters
from modelmux.store.files import create_once, state_directory, tighten
from modelmux.store.local_state import KEY_FILE, LocalState


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def config(**settings: Any) -> Config:
    return Config.from_dict(settings)


def test_a_key_is_made_once_and_found_again(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "state"
    first = LocalState(directory)
    key = first.seal_key()
    assert len(key) == 64
    assert LocalState(directory).seal_key() == key == first.seal_key()
    assert (mode_of(directory / KEY_FILE), mode_of(directory)) == (0o600, 0o700)
    assert [path.name for path in directory.iterdir()] == [KEY_FILE], "no drafts are left"
    assert first.warnings == ()


def make_key(directory: Path, start: Any, keys: Any) -> None:
    start.wait()
    keys.put(LocalState(directory).seal_key())


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, keys = context.Barrier(4), context.Queue()
    processes = [context.Process(target=make_key, args=(tmp_path, start, keys)) for _ in range(4)]
    for process in processes:
        process.start()
    made = {keys.get() for _ in processes}
    for process in processes:
        process.join()
    assert len(made) == 1


def test_a_process_that_is_slower_uses_the_file_of_the_other(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def write(draft: Path) -> None:
        draft.write_text("slow")
        create_once(path, lambda other: other.write_text("fast") and None)

    create_once(path, write)
    assert path.read_text() == "fast"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_could_not_be_written_is_not_left(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        draft.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        create_once(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_the_key_is_in_memory_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = LocalState(tmp_path / "file" / "state")
    assert len(state.seal_key()) == 64
    assert state.seal_key() == state.seal_key()
    (warning,) = state.warnings
    assert "Not a directory" in warning
    assert "server.state_dir" in warning
    assert "server.seal_keys" in warning
    assert LocalState(tmp_path / "file" / "state").seal_key() != state.seal_key()


def test_a_key_in_memory_is_shared_with_processes_that_are_forked_later(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    state = LocalState(tmp_path / "file")
    context = multiprocessing.get_context("fork")
    keys = context.Queue()
    process = context.Process(target=lambda: keys.put(state.seal_key()))
    process.start()
    assert keys.get() == state.seal_key()
    process.join()


@pytest.mark.parametrize("content", [b"", b"not a key", b"\xff" * 128, b"0" * 128])
def test_a_damaged_file_is_kept_and_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(content)
    state = LocalState(tmp_path)
    assert len(state.seal_key()) == 64
    assert str(tmp_path / KEY_FILE) in state.warnings[0]
    assert (tmp_path / KEY_FILE).read_bytes() == content


def test_a_file_that_others_can_read_is_closed_to_them_and_reported(tmp_path: Path) -> None:
    key = LocalState(tmp_path).seal_key()
    (tmp_path / KEY_FILE).chmod(0o644)
    state = LocalState(tmp_path)
    assert state.seal_key() == key
    assert "others could read it" in state.warnings[0]
    assert mode_of(tmp_path / KEY_FILE) == 0o600
    assert not tighten(tmp_path / KEY_FILE)


def test_a_file_whose_mode_cannot_be_changed_is_used_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    key = LocalState(tmp_path).seal_key()
    (tmp_path / KEY_FILE).chmod(0o440)
    monkeypatch.setattr(files.Path, "chmod", refuse)
    state = LocalState(tmp_path)
    assert state.seal_key() == key
    assert state.warnings == (
        f"{tmp_path / KEY_FILE}: others can read it (Read-only file system); run chmod 600 on it",
    )


def test_without_a_directory_nothing_is_written_and_nothing_is_wrong() -> None:
    state = LocalState(None)
    assert len(state.seal_key()) == 64
    assert state.warnings == ()


def test_where_the_directory_is(tmp_path: Path) -> None:
    home = {"HOME": "/home/ann"}
    assert state_directory("/srv/x", home) == Path("/srv/x")
    assert state_directory("~/x", home) == Path("~/x").expanduser()
    assert state_directory(None, home | {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b"}) == Path("/var/lib/a")
    assert state_directory(None, home, "linux") == Path("/home/ann/.local/state/modelmux")
    assert state_directory(None, home | {"XDG_STATE_HOME": "/s"}, "linux") == Path("/s/modelmux")
    relative = home | {"XDG_STATE_HOME": "s", "STATE_DIRECTORY": "s"}
    assert state_directory(None, relative, "linux") == Path("/home/ann/.local/state/modelmux")
    assert state_directory(None, home, "darwin") == Path("/home/ann/Library/Application Support/modelmux")
    assert state_directory(None, {"LOCALAPPDATA": "/l"}, "win32") == Path("/l/modelmux")
    assert state_directory(None, {}, "win32") == Path.home() / "AppData" / "Local" / "modelmux"


def test_a_service_has_a_directory_and_a_library_only_on_request(tmp_path: Path) -> None:
    environment, named = {"HOME": str(tmp_path)}, {"state_dir": str(tmp_path / "s")}
    assert LocalState.of_service(config(), environment).directory == state_directory(None, environment)
    assert LocalState.of_service(config(server=named), environment).directory == tmp_path / "s"
    assert LocalState.of_library(config(), environment).directory is None
    assert LocalState.of_library(config(server={"workers": 4}), environment).directory is None
    assert LocalState.of_library(config(server=named), environment).directory == tmp_path / "s"
    stored = config(responses={"store": "sqlite"})
    assert LocalState.of_library(stored, environment).directory == state_directory(None, environment)
    assert list(tmp_path.iterdir()) == []


def test_a_service_without_a_home_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(files.Path, "home", no_home)
    state = LocalState.of_service(config(), {})
    assert state.directory is None
    assert len(state.seal_key()) == 64
    assert "there is no home directory" in state.warnings[0]


def test_what_root_creates_belongs_to_the_owner_of_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a command with sudo locks no service out. Every directory that is created inherits it, too."""
    given: dict[str, tuple[int, int]] = {}
    owners = {tmp_path: 4711}

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool) -> None:
        assert not follow_symlinks
        given[path.name.split(".seal")[0]] = (uid, gid)
        owners[path] = uid

    def owner_of(path: Path) -> Any:
        return SimpleNamespace(st_uid=owners.get(path, 0), st_gid=owners.get(path, 0))

    for euid, expected in ((1000, {}), (0, {"a": (4711, 4711), "b": (4711, 4711), "": (4711, 4711)})):
        with monkeypatch.context() as patch:
            patch.setattr("modelmux.store.files._owner_of", owner_of)
            patch.setattr(os, "geteuid", lambda euid=euid: euid)
            patch.setattr(os, "chown", chown)
            create_once(tmp_path / "a" / "b" / "seal.key", lambda path: None)
        assert given == expected
        shutil.rmtree(tmp_path / "a")


def test_what_a_worker_had_running_is_over_when_it_ends(tmp_path: Path) -> None:
    """Not when it is replaced, which takes up to a minute where workers end again and again."""
    settings = {"accounts": {"enabled": True}, "server": {"workers": 2, "state_dir": str(tmp_path)}}
    state = LocalState.of_service(config(**settings), {})
    assert state.counters is not None
    for worker in (1, 2):
        SharedCounters(state.counters, worker).counter("a", 1_000).enter()
    state.worker_ended(2)
    assert SharedCounters(state.counters, 1).counter("a", 1_000).running == 1
    LocalState(None).worker_ended(1)
