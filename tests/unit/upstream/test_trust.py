"""Which files of certificate authorities are read, and how often: a bundle of the system takes 30 ms."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from modelmux.upstream import trust
from modelmux.upstream.trust import VARIABLES, Trust, read_trust, tls_context
from support.http_servers import Authority


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read."""
    files: list[str] = []
    load = trust._load

    def spy(context: ssl.SSLContext, path: str) -> None:
        files.append(path)
        load(context, path)

    monkeypatch.setattr(trust, "_load", spy)
    return files


def test_a_file_that_all_variables_name_is_read_once(tmp_path: Path, read: list[str]) -> None:
    file = Authority(tmp_path).file
    found = read_trust(None, dict.fromkeys(VARIABLES, file))
    assert found == Trust(tuple((name, file) for name in VARIABLES))
    assert read.count(file) == 2  # a file may be a directory for some of them
    read.clear()
    assert found.context() is not None
    assert read.count(file) == 1


def test_a_file_that_is_no_authority_is_a_problem_of_every_variable(tmp_path: Path) -> None:
    file = tmp_path / "empty.pem"
    file.touch()
    found = read_trust(None, dict.fromkeys(VARIABLES, str(file)))
    assert found.sources == ()
    assert [name for name, _ in found.problems] == list(VARIABLES)
    assert len({problem for _, problem in found.problems}) == 1


def test_the_files_of_the_system_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: list[str]
) -> None:
    file = Authority(tmp_path).file
    monkeypatch.setenv("SSL_CERT_FILE", file)
    context = tls_context(file)
    assert file not in read
    assert len(context.get_ca_certs()) >= 1
