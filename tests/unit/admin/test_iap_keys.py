"""Risk: keys come from elsewhere than from the configured address, or an endpoint that does not end its answer takes
threads and memory.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import wait
from pathlib import Path
from typing import Any, Self

import pytest

from modelmux.accounts.directory import Directory
from modelmux.admin import iap_keys
from modelmux.admin.errors import SigningKeysUnavailable
from modelmux.admin.iap_keys import KeyFetch, KeysNotFetched, SigningKeys
from modelmux.admin.listener import AdminListener
from modelmux.admin.open_proxy_sign_in import proxy_sign_in
from modelmux.admin.proxy_sign_in import IapAssertion, ProxySignIn
from modelmux.config import Config
from modelmux.process.admin_app import serve_admin
from modelmux.server.refused import RefusedRequests
from modelmux.telemetry.log import null_logger
from modelmux.upstream.trust import NO_TRUST
from modelmux.wire.http import Origin
from support.admin import Admin
from support.clock import RUNTIME
from support.http_servers import Authority
from support.iap import KeyServer, key_server, public_pem

ONE = {"one": public_pem("one").decode()}


async def fetched(server: KeyServer) -> dict[str, str]:
    return await KeyFetch(server.url, NO_TRUST)()


async def test_keys_come_over_http() -> None:
    with key_server() as server:
        assert await fetched(server) == ONE
        server.status = 404
        with pytest.raises(KeysNotFetched, match="status 404"):
            await fetched(server)
        server.status, server.body = 200, b"<html>sign in to the network</html>"
        with pytest.raises(KeysNotFetched, match="something else"):
            await fetched(server)
    with pytest.raises(KeysNotFetched, match="cannot be reached"):
        await fetched(server)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_address_that_an_answer_names_is_not_asked(status: int) -> None:
    with key_server() as elsewhere, key_server() as server:
        server.status, server.location = status, elsewhere.url
        with pytest.raises(KeysNotFetched, match=f"status {status}, and keys of another address"):
            await fetched(server)
        assert elsewhere.fetches == 0


async def test_what_is_too_long_for_keys_is_not_read_to_its_end() -> None:
    with key_server() as server:
        server.body = b'{"keys": [' + b" " * 80_000
        with pytest.raises(KeysNotFetched, match="more than 64 KiB"):
            await fetched(server)


async def test_a_proxy_and_passwords_of_the_environment_are_not_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin ann\npassword secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with key_server() as proxy, key_server() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert await fetched(server) == ONE
        assert proxy.fetches == 0
        assert "authorization" not in server.asked[0]


class Session:
    """Of requests. :ivar options: of its request."""

    trust_env = None

    def get(self, url: str, **options: object) -> None:
        self.options = options
        raise OSError(url)


@pytest.mark.parametrize(("url", "is_used"), [("https://keys.example", True), ("http://127.0.0.1:9", False)])
def test_the_proxy_of_the_environment_is_for_tls_alone(url: str, is_used: bool) -> None:
    session = Session()
    with pytest.raises(OSError, match="http"):
        iap_keys._get(session, url)
    assert session.trust_env is is_used
    assert session.options["auth"]("request") == "request"  # type: ignore[operator]


async def test_a_fetch_that_was_given_up_is_the_only_one_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with key_server() as server:
        server.gate.clear()
        now, failures = 0.0, list[str]()
        fetch = KeyFetch(server.url, NO_TRUST)
        keys = SigningKeys(fetch, lambda: now, failures.append)
        with monkeypatch.context() as patched:
            patched.setattr(iap_keys, "_LONGEST", 0.05)
            for _ in range(5):
                with pytest.raises(SigningKeysUnavailable):
                    await keys.find("one")
                now += 60
        assert failures == ["it did not answer in time"] * 5
        assert len(fetch._threads._threads) == 1
        assert server.fetches <= 1
        running = fetch._running
        assert running is not None
        server.gate.set()
        await asyncio.to_thread(wait, [running], 60)  # it was never begun where the machine is busy
        assert await keys.find("one") == ONE["one"]


async def test_an_answer_that_trickles_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reply:
        status_code = 200

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def iter_content(self, size: int) -> list[bytes]:
            return [b"x" * size] * 3

    monkeypatch.setattr(Session, "get", lambda *_, **__: Reply())
    assert iap_keys._get(Session(), "https://keys.example") == (200, b"x" * 48)
    monkeypatch.setattr(iap_keys, "_LONGEST_READ", -1.0)
    with pytest.raises(KeysNotFetched, match="in time"):
        iap_keys._get(Session(), "https://keys.example")


@pytest.mark.parametrize(
    ("changes", "is_asked_again"),
    [
        ({"trusted_peers": ["10.0.3.7"]}, False), ({"iap_audience": "/projects/1/apps/b"}, False),
        ({"iap_keys_url": "{url}?other"}, True), ({"ca_file": "other"}, True),
    ],
)  # fmt: skip
async def test_a_new_configuration_keeps_keys_of_the_same_origin(
    tmp_path: Path, changes: dict[str, Any], is_asked_again: bool
) -> None:
    admin = Admin(tmp_path)
    with key_server() as server:
        named = {name: text.format(url=server.url) if isinstance(text, str) else text for name, text in changes.items()}
        tls = {"ca_file": Authority(tmp_path).file} if named.pop("ca_file", None) else {}
        settings = {"iap_audience": "/projects/1/apps/a", "iap_keys_url": server.url}
        first = opened(admin, None, settings)
        assert await first.keys.find("one") == ONE["one"]
        server.status = 500
        second = opened(admin, first, settings | named, tls)
        if is_asked_again:
            with pytest.raises(SigningKeysUnavailable):
                await second.keys.find("one")
        else:
            assert await second.keys.find("one") == ONE["one"]
        assert server.fetches == 1 + is_asked_again
    await admin.aclose()


def opened(admin: Admin, before: IapAssertion | None, settings: dict[str, Any], tls: Any = None) -> IapAssertion:
    config = Config.from_dict({"accounts": {"enabled": True}, "admin": settings, "tls": tls or {}})
    known = None if before is None else ProxySignIn(before, admin.backend.issuer)
    return source_of(proxy_sign_in(config, admin.backend, null_logger(), known))


def source_of(proxy: ProxySignIn | None) -> IapAssertion:
    assert proxy is not None
    assert isinstance(proxy.source, IapAssertion)
    return proxy.source


async def test_a_process_that_reloads_keeps_its_keys(tmp_path: Path) -> None:
    admin, log = Admin(tmp_path), null_logger()
    listener = AdminListener("127.0.0.1", nothing, nothing)
    refused = RefusedRequests(log, RUNTIME.clock)

    def reload(settings: dict[str, Any]) -> ProxySignIn | None:
        accounts = {"enabled": True, "store": f"sqlite:{admin.path}"}
        vertex = {"project": "p", "location": "global"}
        config = Config.from_dict({"accounts": accounts, "admin": settings, "vertex": vertex})
        serve_admin(
            listener, config, admin.backend, Directory, log, refused, RUNTIME, Origin("http", "127.0.0.1", 9)
        )  # fmt: skip
        return listener.proxy

    with key_server() as server:
        settings = {"iap_audience": "/projects/1/apps/a", "iap_keys_url": server.url}
        assert await source_of(reload(settings)).keys.find("one") == ONE["one"]
        server.status = 500
        again = reload(settings | {"gateway_url": "https://models.example.com"})
        assert await source_of(again).keys.find("one") == ONE["one"]
        assert reload({}) is None
    await admin.aclose()


async def nothing() -> None:
    pass
