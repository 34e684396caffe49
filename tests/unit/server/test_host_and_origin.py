"""Risk: a web page uses a gateway without keys, or a client on this machine is refused."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux import Config, ConfigError
from modelmux.errors import GatewayError
from modelmux.server.host_and_origin import HostAndOriginCheck, is_allowed_origin, is_local_host

NONE: frozenset[str] = frozenset()
PAGE = b"https://chat.example.com"


@pytest.mark.parametrize(
    "value",
    [
        b"localhost", b"localhost:3000", b"LocalHost:1", b"localhost.", b"localhost.:3000", b"127.0.0.1:3000",
        b"127.8.8.8", b"[::1]", b"[::1]:3000", b"127.0.0.1.", b"x.localhost:3000", b"a.b.localhost",
        b" localhost ", b"gateway.lan:80",
        b"GATEWAY.lan.", b"[fd00::1]:3000",
    ],
)  # fmt: skip
def test_names_of_this_machine(value: bytes) -> None:
    assert is_local_host(value, frozenset({"gateway.lan", "[fd00::1]"}))


@pytest.mark.parametrize(
    "value",
    [
        b"", b"evil.example", b"evil.example:3000", b"localhost.evil.example", b"127.0.0.1.nip.io", b"evillocalhost",
        b"0.0.0.0:3000", b"192.168.1.5", b"[::]", b"[fd00::1]", b"localhost:", b"localhost:x", b"localhost:3000:1",
        b"evil@localhost", b"localhost/x", b"localhost, evil.example", b"\xe9.localhost", b"[::1", b"::1",
        b"2130706433", b"127.1", b"gateway.lan", b"localhost\x00",
    ],
)  # fmt: skip
def test_other_names(value: bytes) -> None:
    assert not is_local_host(value, NONE)


@pytest.mark.parametrize(
    "value",
    [
        b"http://localhost", b"http://localhost:5173", b"https://LOCALHOST:1", b"http://127.0.0.1:8080", b"http://[::1]:3",
        b"http://x.localhost", b"http://tauri.localhost", b"vscode-webview://1a2b3c", b"vscode-file://vscode-app",
        b"app://obsidian.md", b"tauri://localhost", b"https://chat.example.com", b"HTTPS://Chat.Example.com",
    ],
)  # fmt: skip
def test_origins_that_may_call(value: bytes) -> None:
    assert is_allowed_origin(value, frozenset({PAGE.decode()}))


@pytest.mark.parametrize(
    "value",
    [
        b"", b"null", b"https://evil.example", b"http://localhost.evil.example", b"https://chat.example.com.evil.example",
        b"http://chat.example.com", b"https://chat.example.com:444", b"http://evil@localhost", b"localhost",
        b"http://", b"http://localhost/", b"chrome-extension://abc", b"file://", b"data:text/html,x", b"app:x",
        b"http://host.docker.internal", b"http://localhost http://evil.example", b"\xff://localhost", b"ftp://localhost",
    ],
)  # fmt: skip
def test_origins_that_may_not(value: bytes) -> None:
    assert not is_allowed_origin(value, frozenset({PAGE.decode()}))


def test_any_origin_is_any() -> None:
    for value in (b"https://evil.example", b"null"):
        assert is_allowed_origin(value, frozenset({"*"}))


def scope(method: str = "POST", *headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {"method": method, "headers": headers, "server": ("127.0.0.1", 3000), **more}


JSON = (b"content-type", b"application/json")
HERE = (b"host", b"localhost:3000")
EVIL = (b"origin", b"https://evil.example")


def error_of(request: dict[str, Any], path: str = "/v1/models") -> tuple[int, str | None] | None:
    try:
        HostAndOriginCheck(frozenset({"gateway.lan"}), frozenset({PAGE.decode()})).check(request, path)
    except GatewayError as error:
        assert error.hint
        return error.status, error.code
    return None


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([HERE, JSON], None),
        ([JSON], None),
        ([], None),
        ([(b"host", b"gateway.lan"), JSON], None),
        ([(b"host", b"host.docker.internal:3000"), JSON], None),
        ([(b"host", b"host.containers.internal"), JSON], None),
        ([HERE, (b"origin", PAGE), JSON], None),
        ([HERE, (b"origin", PAGE)], None),
        ([(b"host", b"evil.example"), JSON], (421, "host_not_allowed")),
        ([EVIL, (b"host", b"evil.example")], (421, "host_not_allowed")),
        ([HERE, (b"host", b"evil.example"), JSON], (421, "host_not_allowed")),
        ([HERE, EVIL, JSON], (403, "origin_not_allowed")),
        ([HERE, (b"origin", b"null"), JSON], (403, "origin_not_allowed")),
        ([HERE, (b"origin", PAGE), EVIL, JSON], (403, "origin_not_allowed")),
        ([HERE, EVIL], (415, "unsupported_media_type")),
        ([HERE, EVIL, (b"content-type", b"text/plain; json")], (415, "unsupported_media_type")),
    ],
)
def test_what_a_request_says(headers: list[tuple[bytes, bytes]], error: tuple[int, str] | None) -> None:
    assert error_of(scope("POST", *headers)) == error


def test_a_get_has_no_body_to_judge() -> None:
    assert error_of(scope("GET", HERE, EVIL)) == (403, "origin_not_allowed")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_probes_are_exempt(path: str) -> None:
    assert error_of(scope("GET", (b"host", b"10.0.0.1"), EVIL), path) is None
    assert error_of(scope("GET", (b"host", b"10.0.0.1")), path + "/x") is not None


@pytest.mark.parametrize(
    ("server", "is_checked"),
    [
        (("127.0.0.1", 1), True),
        (("::1", 1), True),
        (("::ffff:127.0.0.1", 1), True),
        (None, True),
        (("10.0.0.1", 1), False),
        (("::ffff:10.0.0.1", 1), False),
        (("/run/x.sock", None), False),
    ],
)
def test_only_connections_on_loopback_are_checked(server: Any, is_checked: bool) -> None:
    assert (error_of(scope("GET", (b"host", b"evil.example"), server=server)) is not None) is is_checked


def test_a_message_shows_a_short_and_printable_name() -> None:
    error = HostAndOriginCheck().refusal("GET", [(b"host", b"evil\x1b[31m\xff" + b"x" * 5000)])
    assert error is not None
    assert error.message.isprintable()
    assert len(error.message) < 300


def test_what_is_remembered_of_hosts_is_bounded() -> None:
    check = HostAndOriginCheck()
    for number in range(200):
        for name in (b"%d.localhost" % number, b"x" * 200 + b".localhost"):
            assert check.refusal("GET", [(b"host", name)]) is None
            assert check.refusal("GET", [(b"host", name)]) is None
    assert len(check._accepted) == 64
    assert max(map(len, check._accepted)) <= 100


@pytest.mark.parametrize(
    ("server", "listens_on", "is_checked"),
    [
        ({}, "127.0.0.1", True), ({}, "localhost", True), ({}, "::1", True),
        ({"allow_unauthenticated": True}, "127.0.0.1", True),
        ({"allow_unauthenticated": True}, "0.0.0.0", False), ({"api_keys": ["sk-modelmux-first"]}, "127.0.0.1", False),
        ({"host": "0.0.0.0"}, "127.0.0.1", True), ({"host": "127.0.0.1"}, "0.0.0.0", False),
    ],
)  # fmt: skip
def test_which_gateways_are_checked(server: dict[str, Any], listens_on: str, is_checked: bool) -> None:
    check = HostAndOriginCheck.of(Config.from_dict({"server": server}), listens_on)
    assert (check is not None) is is_checked


def test_settings_that_cannot_be_used_are_refused_in_any_case() -> None:
    for server in ({"allowed_hosts": ["https://x"]}, {"cors_origins": ["x"]}):
        with pytest.raises(ConfigError):
            HostAndOriginCheck.of(Config.from_dict({"server": {"api_keys": ["sk-modelmux-first"], **server}}), "::")


@pytest.mark.parametrize(
    ("origins", "sites", "allowed"),
    [
        ([b"null"], [b"same-origin"], True), ([b"null"], [], False), ([b"null"], [b"same-site"], False),
        ([b"null"], [b"cross-site"], False), ([b"null"], [b"same-origin", b"cross-site"], False),
        ([b"null", b"null"], [b"same-origin"], False), ([b"https://evil.example"], [b"same-origin"], False),
    ],
)  # fmt: skip
def test_a_page_that_sends_no_referrer_is_told_by_its_browser(
    origins: list[bytes], sites: list[bytes], allowed: bool
) -> None:
    headers = [(b"host", b"localhost"), *((b"origin", one) for one in origins)]
    headers += [(b"sec-fetch-site", one) for one in sites]
    assert (HostAndOriginCheck().refusal("GET", headers) is None) == allowed
