"""Risk: a URL of a client makes the gateway connect to a private address. The fetcher, over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from pathlib import Path

import pytest

from support.fetch_servers import (
    CANARY,
    PNG,
    PUBLIC,
    Names,
    RedirectedConnects,
    fetcher,
    hang,
    loopback,
    moved,
    ok,
    refusal,
    site,
)
from support.http_peers import Wire, on_both_loops, until
from support.http_servers import Authority

#: All that an operator can open.
OPEN = {"allow_private": ("0.0.0.0/0", "::/0"), "extra_ports": tuple(range(1, 65536))}

# The first address


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "0.0.0.0", "2130706433",
     "0x7f.1", "0177.0.0.1", "127.1", "127。0。0。1", "%31%32%37.0.0.1", "a.localhost", "example.com@127.0.0.1",
     "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "localhost.", "127.0.0.1."],
)  # fmt: skip
async def test_a_site_on_this_machine_is_not_reached_in_any_spelling(host: str) -> None:
    async with site({"/": ok()}) as running, fetcher(extra_ports=(running.port,)) as subject:
        error = await refusal(subject, running.url(host=host))
        assert error.reason in {"host", "malformed"}
        assert subject._pool.created_total == 0
        assert not running.heads


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/computeMetadata/v1/instance/service-accounts/default/token",
     "http://metadata.google.internal/computeMetadata/v1/", "http://metadata/", "http://[fd00:ec2::254]/latest/",
     "http://[::ffff:169.254.169.254]/", "http://[64:ff9b::a9fe:a9fe]/", "http://2852039166/", "http://0.0.0.0/",
     "http://[fd20:ce::254]/", "http://168.63.129.16/", "http://100.100.100.200/", "http://a.b.internal./"],
)  # fmt: skip
async def test_metadata_servers_are_not_reached_with_everything_opened(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site({"/": ok()}) as running:
        connects = RedirectedConnects(monkeypatch, running)
        for settings in ({}, OPEN):
            async with fetcher(**settings, resolver=Names()) as subject:
                assert (await refusal(subject, url)).reason in {"host", "malformed"}
        assert not connects.addresses


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["2606:4700::1111", "::ffff:10.0.0.1"]])
async def test_a_name_with_any_address_that_is_not_public_is_not_connected_to(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site({"/": ok()}) as running, fetcher(resolver=Names(a_example=[addresses])) as subject:
        connects = RedirectedConnects(monkeypatch, running)
        assert (await refusal(subject, "http://a.example/")).reason == "host"
        assert not connects.addresses


async def test_the_checked_address_is_the_one_that_is_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names(rebind_example=[[PUBLIC], ["127.0.0.1"], ["169.254.169.254"]])
    async with site({"/1": ok(), "/2": ok()}) as running, fetcher(resolver=names) as subject:
        connects = RedirectedConnects(monkeypatch, running)
        assert (await subject.fetch("http://rebind.example/1")).data == PNG
        assert connects.addresses == [PUBLIC]
        assert names.queries == ["rebind.example"]  # once, so there is no second answer to be fooled by
        assert b"\r\nhost: rebind.example\r\n" in running.heads[0]
        for path in ("/2", "/3"):  # the next URL is checked anew: no connection was kept
            assert (await refusal(subject, f"http://rebind.example{path}")).reason == "host"
        assert connects.addresses == [PUBLIC]


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site({"/": ok()}) as proxy, site({"/": ok()}) as running:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        async with fetcher(running) as subject:
            assert (await subject.fetch(running.url())).data == PNG
        assert not proxy.heads


async def test_allow_and_deny_lists_and_ports() -> None:
    names = loopback("a.example", "b.example", "sub.a.example")
    async with site({"/": ok()}) as running:
        settings = {"allow": ("a.example", "*.a.example"), "deny": ("sub.a.example",)}
        async with fetcher(running, resolver=names, **settings) as subject:
            assert (await subject.fetch(running.url(host="a.example"))).data == PNG
            assert (await refusal(subject, running.url(host="b.example"))).reason == "not_allowed"
            assert (await refusal(subject, running.url(host="sub.a.example"))).reason == "not_allowed"
            assert (await refusal(subject, running.url())).reason == "not_allowed"
        async with fetcher(allow_private=("127.0.0.0/8",), resolver=names) as subject:
            assert (await refusal(subject, running.url(host="a.example"))).reason == "port"


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(status: int) -> None:
    async with site({"/a/b": moved("../c?d=e", status), "/c?d=e": ok()}) as running, fetcher(running) as subject:
        assert (await subject.fetch(running.url("/a/b"))).data == PNG
        assert running.paths == ["/a/b", "/c?d=e"]


@pytest.mark.parametrize("name", ["bücher".encode(), "bücher".encode("latin-1")])
async def test_a_location_in_raw_letters_is_encoded(name: bytes) -> None:
    answer = moved("/*").replace(b"*", name)
    async with site({"/": answer, "/b%C3%BCcher": ok()}) as running, fetcher(running) as subject:
        assert (await subject.fetch(running.url())).data == PNG


async def test_three_redirects_are_followed_and_a_fourth_is_not() -> None:
    routes = {f"/{number}": moved(f"/{number + 1}") for number in range(4)} | {"/4": ok()}
    async with site(routes) as running, fetcher(running) as subject:
        assert (await subject.fetch(running.url("/1"))).data == PNG
        running.heads.clear()
        assert (await refusal(subject, running.url("/0"))).reason == "redirects"
        assert running.paths == ["/0", "/1", "/2", "/3"]


async def test_a_redirect_loop_ends_and_none_at_all_can_be_allowed() -> None:
    async with site({"/": moved("/")}) as running:
        async with fetcher(running) as subject:
            assert (await refusal(subject, running.url())).reason == "redirects"
        assert len(running.heads) == 4
        async with fetcher(running, max_redirects=0) as subject:
            assert (await refusal(subject, running.url())).reason == "redirects"
        assert len(running.heads) == 5


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "host"),
        ("//169.254.169.254/latest/", "host"),
        ("http://metadata.google.internal/", "host"),
        ("http://localhost:{port}/private", "host"),
        ("http://[::1]:{port}/private", "host"),
        ("http://10.0.0.1/", "host"),
        ("http://private.example:{port}/private", "host"),
        ("http://0.0.0.0:{port}/private", "host"),
        ("http://2130706433:{port}/private", "malformed"),
        ("http://127.1:{port}/private", "malformed"),
        ("http://user:pass@127.0.0.1:{port}/private", "malformed"),
        ("http://127。0。0。1:{port}/private", "malformed"),
        ("file:///etc/passwd", "malformed"),
        ("ftp://127.0.0.1/private", "malformed"),
        ("http://127.0.0.1:22/", "port"),
        ("http://denied.example:{port}/private", "not_allowed"),
        ("http://nowhere.example:{port}/", "unresolved"),
    ],
)
async def test_a_redirect_is_checked_like_the_first_url(location: str, reason: str) -> None:
    names = Names(a_example=[["127.0.0.1"]], denied_example=[["127.0.0.1"]], private_example=[["10.1.2.3"]])
    async with (
        site({"/": b"", "/private": ok()}) as running,
        fetcher(running, resolver=names, deny=("denied.example",)) as subject,
    ):
        running.routes["/"] = moved(location.format(port=running.port))
        assert (await refusal(subject, running.url(host="a.example"))).reason == reason
        assert running.paths == ["/"]


async def test_a_name_that_turns_private_between_two_redirects_is_refused() -> None:
    names = Names(rebind_example=[["127.0.0.1"], ["10.0.0.1"]])
    async with site({"/": moved("/again"), "/again": ok()}) as running, fetcher(running, resolver=names) as subject:
        assert (await refusal(subject, running.url(host="rebind.example"))).reason == "host"
        assert running.paths == ["/"]


async def test_nothing_is_carried_over_to_another_host() -> None:
    redirect = moved("http://b.example:{port}/x")
    cookie = b"\r\nset-cookie: session=1; domain=example\r\n"
    async with site({"/x": ok()}) as other, site({}) as first:
        location = redirect.replace(b"{port}", b"%d" % other.port)
        first.routes["/"] = location.replace(b"\r\n", cookie, 1)
        async with fetcher(first, other, resolver=loopback("a.example", "b.example")) as subject:
            assert (await subject.fetch(first.url(host="a.example"))).data == PNG
    [head] = other.heads
    names = {line.split(b":")[0] for line in head.lower().split(b"\r\n")[1:] if line}
    assert names == {b"host", b"connection", b"accept-encoding", b"user-agent", b"accept"}
    assert b"host: b.example:%d\r\n" % other.port in head


# Size and time


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_size_limit_is_exact(size: int, chunked: bool) -> None:
    body = b"%x\r\n" % size + bytes(size) + b"\r\n0\r\n\r\n"
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + body if chunked else ok(bytes(size))
    async with site({"/": answer}) as running, fetcher(running, max_bytes=1000) as subject:
        if size == 1000:
            assert len((await subject.fetch(running.url())).data) == 1000
        else:
            assert (await refusal(subject, running.url())).reason == "too_large"


async def test_what_announces_too_much_is_not_read() -> None:
    async def announce(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n")
        await wire.wait_closed()

    async with site({"/": announce}) as running, fetcher(running) as subject:
        assert (await refusal(subject, running.url())).reason == "too_large"
        await until(lambda: running.open == 0)


@on_both_loops
async def test_what_never_ends_is_cut_off_at_the_limit() -> None:
    sent = 0

    async def endless(wire: Wire) -> None:
        nonlocal sent
        await wire.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            await wire.send(b"4000\r\n" + bytes(0x4000) + b"\r\n")
            sent += 0x4000

    async with site({"/": endless}) as running, fetcher(running, max_bytes=100_000) as subject:
        assert (await refusal(subject, running.url())).reason == "too_large"
        await until(lambda: running.open == 0)
    assert sent < 16_000_000  # the kernel's buffers


@pytest.mark.parametrize("where", ["head", "body", "redirect body"])
@on_both_loops
async def test_a_drip_does_not_outlast_the_time_limit(where: str) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"

    async def drip(wire: Wire) -> None:
        if where != "head":
            await wire.send(head)
        for _ in range(1000):
            await wire.send(b"x-h: 1\r\n" if where == "head" else b"x")
            await asyncio.sleep(0.01)

    async def start(wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n" if where == "head" else b"")
        await drip(wire)

    routes = {"/": moved("/drip") if where == "redirect body" else start, "/drip": start}
    async with site(routes) as running, fetcher(running, timeout=0.3) as subject:
        began = time.monotonic()
        assert (await refusal(subject, running.url())).reason == "timeout"
        assert time.monotonic() - began > 0.25
        await until(lambda: running.open == 0)


async def test_the_time_limit_spans_all_redirects() -> None:
    async def slowly(wire: Wire) -> None:
        await asyncio.sleep(0.15)
        await wire.send(moved("/"))

    async with site({"/": slowly}) as running, fetcher(running, timeout=0.4, max_redirects=50) as subject:
        assert (await refusal(subject, running.url())).reason == "timeout"
        assert len(running.heads) <= 3


@on_both_loops
async def test_silence_ends_at_the_time_limit() -> None:
    async with site({"/": hang}) as running, fetcher(running, timeout=0.2) as subject:
        assert (await refusal(subject, running.url())).reason == "timeout"
        await until(lambda: running.open == 0)


async def test_a_host_that_swallows_connections_ends_at_the_time_limit() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        with socket.socket() as one, socket.socket() as two:
            for filler in (one, two):  # the queue of a backlog of 0
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            async with fetcher(allow_private=("127.0.0.0/8",), extra_ports=(port,), timeout=0.3) as subject:
                assert (await refusal(subject, f"http://127.0.0.1:{port}/")).reason == "timeout"


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("authority")))


def _serving(authority: Authority, host: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.certificate(host))
    return context


@on_both_loops
async def test_the_certificate_is_checked_against_the_name_in_the_url(authority: Authority) -> None:
    trusting = ssl.create_default_context(cafile=authority.file)
    names = loopback("right.example", "wrong.example")
    async with (
        site({"/": ok(), "/down": moved("http://right.example/")}, tls=_serving(authority, "right.example")) as running,
        fetcher(running, resolver=names, context=trusting) as subject,
    ):
        assert (await subject.fetch(running.url(host="right.example", scheme="https"))).data == PNG
        for host in ("wrong.example", "127.0.0.1"):
            assert (await refusal(subject, running.url(host=host, scheme="https"))).reason == "unreachable"
        downgrade = await refusal(subject, running.url("/down", host="right.example", scheme="https"))
        assert downgrade.reason == "downgrade"
        assert running.paths == ["/", "/down"]


async def test_a_certificate_of_an_unknown_authority_is_refused(authority: Authority) -> None:
    names = loopback("right.example")
    async with (
        site({"/": ok()}, tls=_serving(authority, "right.example")) as running,
        fetcher(running, resolver=names) as subject,
    ):
        refused = await refusal(subject, running.url(host="right.example", scheme="https"))
        assert refused.reason == "unreachable"
        assert "certificate" in refused.message
        assert "tls.ca_file" in (refused.hint or "")
        copy = refused.copy_for("https://right.example/")
        assert (copy.message, copy.hint) == (refused.message, refused.hint)
        assert not running.heads


async def test_a_redirect_from_http_to_https_is_followed(authority: Authority) -> None:
    trusting = ssl.create_default_context(cafile=authority.file)
    async with site({"/x": ok()}, tls=_serving(authority, "right.example")) as secure, site({}) as plain:
        plain.routes["/"] = moved(secure.url("/x", host="right.example", scheme="https"))
        names = loopback("right.example")
        async with fetcher(secure, plain, resolver=names, context=trusting) as subject:
            assert (await subject.fetch(plain.url())).data == PNG


# What a refusal tells


async def test_a_refusal_keeps_addresses_and_answers_for_the_operator() -> None:
    names = Names(secret_example=[["10.11.12.13"]])
    routes = {"/secret-path": moved("http://secret.example/")}
    async with site(routes) as running, fetcher(running, resolver=names) as subject:
        error = await refusal(subject, running.url("/secret-path"))
    assert error.public_message.startswith("The host of the URL is not public.")
    assert error.detail is not None
    assert "10.11.12.13" in error.detail
    assert CANARY not in error.detail
    assert "secret-path" not in error.detail
