"""Risk: a link is printed that leads nowhere, is kept readable by others, or is shown to other users of the machine."""

from __future__ import annotations

import re
import stat
import webbrowser
from pathlib import Path

import pytest

from modelmux.accounts.sign_ins import OWNER
from modelmux.admin.sessions import digest_of
from modelmux.store.sign_in_file import SignInFile
from support.cli import CommandResult, run

ON = ("--set", "accounts.enabled=true", "--set", "admin.listen=127.0.0.1:1")
LINK = re.compile(r"http://127\.0\.0\.1:1/dashboard/sign-in\?token=([A-Za-z0-9_-]{43})\n")


def file_of(home: Path) -> SignInFile:
    return SignInFile(home / ".local" / "state" / "modelmux" / "accounts.db.sessions")


def made(result: CommandResult) -> str:
    """The token of the link."""
    assert result.code == 0, result.stderr
    match = LINK.fullmatch(result.stdout)
    assert match is not None, result.stdout
    assert match[1] not in result.stderr
    return match[1]


def test_the_link_alone_is_on_stdout(tmp_path: Path) -> None:
    result = run("dashboard", *ON, home=tmp_path)
    token = made(result)
    assert "one sign-in within ten minutes" in result.stderr
    assert "no gateway serves the dashboard at 127.0.0.1:1 now" in result.stderr
    (link,) = file_of(tmp_path).read().links
    assert (link.digest, link.subject) == (digest_of(token), OWNER)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert made(run("dashboard", *ON, home=tmp_path)) != token


def test_a_link_of_a_person_has_the_role_of_the_person(tmp_path: Path) -> None:
    for arguments in (
        ("teams", "create", "data"), ("people", "create", "ann@example.com"),
        ("teams", "add", "data", "ann@example.com", "--admin"),
    ):  # fmt: skip
        assert run(*arguments, *ON, home=tmp_path).code == 0
    token = made(run("people", "link", "Ann@example.com", *ON, home=tmp_path))
    (link,) = file_of(tmp_path).read().links
    assert link.digest == digest_of(token)
    assert link.subject.person is not None
    assert (link.subject.role, len(link.subject.teams)) == ("team_admin", 1)
    assert run("people", "edit", "ann@example.com", "--disable", *ON, home=tmp_path).code == 0
    for person, word in (("ann@example.com", "disabled"), ("bob@example.com", "there is no person")):
        result = run("people", "link", person, *ON, home=tmp_path)
        assert (result.code, result.stdout) == (1, "")
        assert word in result.stderr


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ((), ("accounts are off", "admin.listen", "accounts.enabled = true")),
        (("--set", "admin.listen=off"), ('admin.listen is "off"', "127.0.0.1:3001")),
        (("--set", "accounts.enabled=true", "--set", "admin.listen=off"), ('admin.listen is "off"', "127.0.0.1:3001")),
    ],
)
def test_without_a_dashboard_it_says_what_is_missing(
    tmp_path: Path, settings: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = run("dashboard", *settings, home=tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert all(word in result.stderr for word in words)
    assert not file_of(tmp_path).path.exists()


def test_a_gateway_without_accounts_has_links_too(tmp_path: Path) -> None:
    result = run("dashboard", "--set", "admin.listen=127.0.0.1:1", home=tmp_path)
    assert result.code == 0
    assert result.stdout.startswith("http://127.0.0.1:1/dashboard/sign-in?token=")


@pytest.mark.parametrize(
    ("at", "base"),
    [
        ("https://admin.example.com", "https://admin.example.com"), ("https://admin.example.com:8443/", None),
        ("admin.example.com", ""), ("https://a/b", ""), ("ftp://a", ""), ("https://a?b", ""),
    ],
)  # fmt: skip
def test_the_address_of_a_proxy(tmp_path: Path, at: str, base: str | None) -> None:
    result = run("dashboard", "--at", at, *ON, home=tmp_path)
    if base == "":
        assert result.code == 2
        return
    assert result.stdout.startswith(f"{base or 'https://admin.example.com:8443'}/dashboard/sign-in?token=")
    assert "no gateway serves" not in result.stderr


def test_a_browser_gets_the_link_by_a_file_that_others_cannot_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    token = made(run("dashboard", "--open", *ON, home=tmp_path))
    (url,) = opened
    assert token not in url, "all users see the arguments of a program"
    path = Path(url.removeprefix("file://"))
    assert token in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    result = run("dashboard", "--open", *ON, home=tmp_path)
    assert result.code == 0
    assert "no browser could be opened" in result.stderr


def test_another_machine_makes_no_links(tmp_path: Path) -> None:
    for command in (("dashboard",), ("people", "link", "ann@example.com")):
        result = run(*command, *ON, home=tmp_path, MODELMUX_ADMIN_URL="https://admin.example.com")
        assert (result.code, result.stdout) == (1, "")
        assert "works on the files of the gateway" in result.stderr


def test_a_file_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    file_of(tmp_path).path.mkdir(parents=True)
    result = run("dashboard", *ON, home=tmp_path)
    assert (result.code, result.stdout) == (1, "")
    assert "as the user of the gateway" in result.stderr
