"""Risk: others read the file, a link is used twice at once, or a damaged file lets nobody or everybody in."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from modelmux.accounts import sign_ins
from modelmux.accounts.sign_ins import OWNER, SignIns
from modelmux.store.base import StoreFailed
from modelmux.store.sign_in_file import SignInFile, sign_in_path

NOW = 1_000_000


@pytest.fixture
def file(tmp_path: Path) -> SignInFile:
    return SignInFile(sign_in_path(tmp_path / "state" / "accounts.db"))


def add(file: SignInFile, digest: str) -> None:
    file.change(lambda state: (sign_ins.with_link(state, digest, OWNER, NOW), None))


def test_reading_creates_nothing(file: SignInFile) -> None:
    assert file.read() == SignIns()
    assert not file.path.parent.exists()


def test_only_its_owner_can_read_it(file: SignInFile) -> None:
    before = os.umask(0)
    try:
        add(file, "d")
    finally:
        os.umask(before)
    assert file.path.name == "accounts.db.sessions"
    assert [stat.S_IMODE(one.stat().st_mode) for one in sorted(file.path.parent.iterdir())] == [0o600, 0o600]
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_another_process_sees_a_change(file: SignInFile) -> None:
    other = SignInFile(file.path)
    add(file, "d")
    assert [one.digest for one in other.read().links] == ["d"]
    assert other.read() is other.read(), "what was not replaced is not read again"
    add(file, "e")
    assert [one.digest for one in other.read().links] == ["d", "e"]


def test_a_link_is_used_once_whoever_asks_at_the_same_time(file: SignInFile) -> None:
    add(file, "d")
    used: list[str] = []

    def use(name: str) -> None:
        def decide(state: SignIns) -> tuple[SignIns, bool]:
            link = sign_ins.find_link(state, "d", NOW)
            return (state, False) if link is None else (sign_ins.redeemed(state, link, name, "", NOW), True)

        if SignInFile(file.path).change(decide):
            used.append(name)

    threads = [threading.Thread(target=use, args=(str(number),)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert len(used) == 1
    assert [one.digest for one in file.read().sessions] == used


def test_a_failed_change_leaves_it_as_it_was(file: SignInFile) -> None:
    add(file, "d")
    before = file.path.read_bytes()

    def fail(state: SignIns) -> tuple[SignIns, None]:
        raise ValueError

    with pytest.raises(ValueError):
        file.change(fail)
    assert file.path.read_bytes() == before
    assert len(list(file.path.parent.iterdir())) == 2, "no draft is left"


@pytest.mark.parametrize("content", [b"", b"{", b'{"links":[{"digest":"d"}]}', b'{"sessions": 5}', b"\xff"])
def test_a_damaged_file_is_an_error_with_a_remedy(file: SignInFile, content: bytes) -> None:
    add(file, "d")
    file.path.write_bytes(content)
    with pytest.raises(StoreFailed, match="delete it"):
        file.read()
    with pytest.raises(StoreFailed, match="delete it"):
        add(file, "e")


def test_a_folder_in_its_place_is_an_error_with_a_remedy(file: SignInFile) -> None:
    file.path.mkdir(parents=True)
    with pytest.raises(StoreFailed, match="as the user of the gateway"):
        file.read()
    with pytest.raises(StoreFailed):
        add(file, "d")
