"""Risk: a pepper that is there is not used, or the message about one that cannot be read says to rotate all keys."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from modelmux.store.base import StoreFailed
from modelmux.store.pepper import load_pepper, pepper_path


def test_it_is_created_once(tmp_path: Path) -> None:
    pepper = load_pepper(tmp_path / "accounts.db")
    assert len(pepper) == 32
    assert load_pepper(tmp_path / "accounts.db") == pepper
    assert pepper_path(tmp_path / "accounts.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["", "00" * 31, "00" * 33, "x" * 64, "\u00e9" * 64])
def test_a_damaged_one_is_not_replaced(tmp_path: Path, content: str) -> None:
    path = pepper_path(tmp_path / "accounts.db")
    path.write_text(content, "utf-8")
    with pytest.raises(StoreFailed, match=r"not a pepper.*; put back the file from a backup"):
        load_pepper(tmp_path / "accounts.db")
    assert path.read_text("utf-8") == content


def test_one_that_may_not_be_read_names_owner_and_mode_not_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(*_: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    load_pepper(tmp_path / "accounts.db")
    monkeypatch.setattr(Path, "read_text", deny)
    with pytest.raises(StoreFailed, match=r"Permission denied; let the user of the gateway read it") as raised:
        load_pepper(tmp_path / "accounts.db")
    assert "rotate" not in str(raised.value)


def test_one_whose_mode_cannot_be_changed_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is mounted, for example."""

    def deny(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    pepper = load_pepper(tmp_path / "accounts.db")
    pepper_path(tmp_path / "accounts.db").chmod(0o444)
    monkeypatch.setattr(Path, "chmod", deny)
    assert load_pepper(tmp_path / "accounts.db") == pepper
