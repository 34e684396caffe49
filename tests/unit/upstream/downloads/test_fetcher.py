"""The fetcher: cache, shared downloads, cancellation, many URLs."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from itertools import count

import pytest

from modelmux.errors import GatewayDraining, GatewayOverloaded, InvalidRequest
from modelmux.upstream.connect import AddressInfo
from modelmux.upstream.downloads import cache as cache_module
from modelmux.upstream.downloads import fetcher as module
from modelmux.upstream.downloads.cache import Fetched
from modelmux.upstream.downloads.fetcher import Fetcher, FetchSettings
from modelmux.upstream.downloads.url_guard import DownloadRefused
from support.clock import Clock
from support.fetch_servers import (
    CANARY,
    PNG,
    Names,
    assert_discloses_nothing,
    fetcher,
    hang,
    loopback,
    ok,
    refusal,
    site,
    status,
)
from support.http_peers import Wire, on_both_loops, until


async def slow(wire: Wire) -> None:
    await asyncio.sleep(0.05)
    await wire.send(ok())


# What arrives


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG; charset=binary", "image/png"),
        ("application/pdf ;x=y", "application/pdf"),
        ("image/svg+xml", "image/svg+xml"),
        ("", ""),
        ("png", ""),
        ("image/png\u00e9", ""),
        ("a b/c", ""),
    ],
)
async def test_the_media_type_is_that_of_the_server_without_parameters(content_type: str, media_type: str) -> None:
    async with site({"/": ok(content_type=content_type)}) as running, fetcher(running) as subject:
        assert await subject.fetch(running.url()) == Fetched(PNG, media_type)


async def test_a_missing_media_type() -> None:
    async with site({"/": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"}) as running, fetcher(running) as subject:
        assert await subject.fetch(running.url()) == Fetched(b"hi", "")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabcdef",
        b"HTTP/1.0 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nabcdef",
    ],
)
async def test_every_framing(answer: bytes) -> None:
    async with site({"/": answer}) as running, fetcher(running) as subject:
        assert (await subject.fetch(running.url())).data == b"abcdef"


async def test_requests_are_constant_and_disclose_nothing() -> None:
    async with site({"/a?b=c": ok()}) as running, fetcher(running) as subject:
        await subject.fetch(running.url("/a?b=c#fragment"))
        [head] = running.heads
    lines = head.decode().split("\r\n")
    assert lines[0] == "GET /a?b=c HTTP/1.1"
    assert sorted(lines[1:-2]) == [
        "accept-encoding: identity",
        "accept: image/*, application/pdf, text/plain",
        "connection: keep-alive",
        f"host: 127.0.0.1:{running.port}",
        "user-agent: ModelMux-Fetch/1",
    ]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(404), "status"),
        (status(401), "status"),
        (status(204), "status"),
        (status(206), "status"),
        (status(304), "status"),
        (status(302), "status"),  # without a Location
        (status(500), "status"),
        (b"", "broken"),
        (f"SSH-2.0-{CANARY}\r\n".encode(), "broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nshort", "broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi", "broken"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nhi!", "broken"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"x" * 70_000 + b"\r\n\r\n", "broken"),
    ],
)
async def test_anything_but_a_valid_200_is_rejected_without_quoting_it(answer: bytes, reason: str) -> None:
    async def talk(wire: Wire) -> None:
        await wire.send(answer)

    async with site({"/secret": talk}) as running, fetcher(running) as subject:
        error = await refusal(subject, running.url("/secret"))
    assert error.reason == reason
    assert CANARY not in (error.detail or "")
    assert "secret" not in (error.detail or "")


async def test_the_message_contains_the_status() -> None:
    async with site({"/": status(403)}) as running, fetcher(running) as subject:
        assert (await refusal(subject, running.url())).message == "The server of the URL returned status 403."


async def test_a_closed_port_and_a_name_without_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with fetcher(allow_private=("127.0.0.0/8",), extra_ports=(port,), resolver=Names()) as subject:
        assert (await refusal(subject, f"http://127.0.0.1:{port}/")).reason == "unreachable"
        assert (await refusal(subject, "http://nowhere.example/")).reason == "unresolved"


async def test_a_disabled_fetcher_resolves_and_downloads_nothing() -> None:
    names = loopback("a.example")
    async with site({"/": ok()}) as running, fetcher(running, enabled=False, resolver=names) as subject:
        for url in (running.url(), running.url(host="a.example"), "http://[bad"):
            assert (await refusal(subject, url)).reason == "disabled"
        assert not running.heads
        assert not names.queries


def test_an_invalid_setting_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"fetch\.allow_private"):
        Fetcher(FetchSettings(allow_private=("somewhere",)))


# The cache


async def test_a_cached_download_needs_no_request() -> None:
    async with site({"/": ok(b"first")}) as running, fetcher(running) as subject:
        first = await subject.fetch(running.url())
        running.routes["/"] = ok(b"second")
        assert await subject.fetch(running.url()) is first
        assert running.paths == ["/"]
        assert (await subject.fetch(running.url("/") + "#2")).data == b"second"  # by the URL as it was given


async def test_an_expired_entry_is_downloaded_again() -> None:
    clock = Clock()
    async with site({"/": ok(b"first")}) as running, fetcher(running, clock=clock) as subject:
        await subject.fetch(running.url())
        running.routes["/"] = ok(b"second")
        clock.now += cache_module.CACHE_AGE - 1
        assert (await subject.fetch(running.url())).data == b"first"  # and using it does not make it younger
        clock.now += 1
        assert (await subject.fetch(running.url())).data == b"second"
        assert len(running.heads) == 2


async def test_a_forgotten_entry_is_downloaded_again() -> None:
    async with site({"/": ok(b"<html>log in</html>")}) as running, fetcher(running) as subject:
        await subject.fetch(running.url())
        running.routes["/"] = ok()
        subject.forget(running.url())
        subject.forget("http://never.example/")
        assert (await subject.fetch(running.url())).data == PNG
        assert subject._cache._size == cache_module._cost(running.url(), Fetched(PNG, "image/png"))


async def test_the_least_recently_used_entry_is_evicted_when_the_cache_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CACHE_BYTES", 3 * 2000)
    async with site({f"/{name}": ok(bytes(1200)) for name in "abcd"}) as running, fetcher(running) as subject:
        for name in "abcad":
            await subject.fetch(running.url(f"/{name}"))
        assert running.paths == ["/a", "/b", "/c", "/d"]
        for name in "adcb":  # b was the one that went
            await subject.fetch(running.url(f"/{name}"))
        assert running.paths[4:] == ["/b"]
        assert subject._cache._size <= 3 * 2000


async def test_the_number_of_entries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CACHE_ENTRIES", 2)
    async with site({f"/{number}": ok(b"") for number in range(5)}) as running, fetcher(running) as subject:
        for number in range(5):
            await subject.fetch(running.url(f"/{number}"))
        assert list(subject._cache._entries) == [running.url("/3"), running.url("/4")]


async def test_a_file_larger_than_the_cache_evicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "CACHE_BYTES", 3000)
    async with site({"/small": ok(), "/large": ok(bytes(4000))}) as running, fetcher(running) as subject:
        for path in ("/small", "/large", "/large", "/small"):
            await subject.fetch(running.url(path))
        assert running.paths == ["/small", "/large", "/large"]


async def test_a_failure_is_not_cached() -> None:
    async with site({"/": status(503)}) as running, fetcher(running) as subject:
        await refusal(subject, running.url())
        running.routes["/"] = ok()
        assert (await subject.fetch(running.url())).data == PNG
        assert len(running.heads) == 2


# One download for all who ask


@on_both_loops
async def test_fifty_concurrent_callers_share_one_request() -> None:
    async with site({"/": slow}) as running, fetcher(running) as subject:
        results = await asyncio.gather(*[subject.fetch(running.url()) for _ in range(50)])
        assert all(result is results[0] for result in results)
        assert len(running.heads) == 1


async def test_each_caller_gets_its_own_exception() -> None:
    async def fail(wire: Wire) -> None:
        await asyncio.sleep(0.02)
        await wire.send(status(404))

    async with site({"/": fail}) as running, fetcher(running) as subject:
        errors = await asyncio.gather(*[subject.fetch(running.url()) for _ in range(5)], return_exceptions=True)
        assert len(running.heads) == 1
    assert len(set(map(id, errors))) == 5
    for error in errors:
        assert isinstance(error, DownloadRefused)
        assert isinstance(error, InvalidRequest)
        assert (error.reason, error.url, error.param) == ("status", running.url(), None)
        assert_discloses_nothing(error)


@on_both_loops
async def test_cancelling_one_caller_does_not_cancel_the_download() -> None:
    async with site({"/": slow}) as running, fetcher(running) as subject:
        leaver, stayer = (asyncio.create_task(subject.fetch(running.url())) for _ in range(2))
        await until(lambda: running.open == 1)
        leaver.cancel()
        assert (await stayer).data == PNG
        assert leaver.cancelled()
        assert len(running.heads) == 1


@on_both_loops
async def test_cancelling_the_last_caller_cancels_the_download() -> None:
    async with site({"/": hang}) as running, fetcher(running) as subject:
        waiters = [asyncio.create_task(subject.fetch(running.url())) for _ in range(3)]
        await until(lambda: running.open == 1)
        for waiter in waiters:
            waiter.cancel()
        await asyncio.wait(waiters)
        assert not subject._tasks
        await until(lambda: running.open == 0, 5.0)
        running.routes["/"] = ok()
        assert (await subject.fetch(running.url())).data == PNG  # and who comes next starts anew


async def test_a_caller_during_the_cancellation_of_a_download_starts_a_new_one() -> None:
    async with site({"/": hang}) as running, fetcher(running) as subject:
        leaver = asyncio.create_task(subject.fetch(running.url()))
        await until(lambda: len(running.heads) == 1)
        running.routes["/"] = slow

        async def join() -> Fetched:
            await until(lambda: len(running.heads) == 2)
            return await subject.fetch(running.url())

        joining = asyncio.create_task(join())
        leaver.cancel()
        await asyncio.sleep(0)
        assert subject._tasks  # the old one has not ended yet
        first = await subject.fetch(running.url())
        assert first is await joining  # nor did its end hide the new one
        assert len(running.heads) == 2


@pytest.mark.parametrize("steps", range(12))
async def test_cancellation_at_any_step_releases_everything(steps: int) -> None:
    names = loopback("a.example")
    async with site({"/": slow}) as running, fetcher(running, resolver=names) as subject:
        task = asyncio.create_task(subject.fetch(running.url(host="a.example")))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert subject._pool.open == 0
        assert subject._slots.free == module.MAX_CONCURRENT


@on_both_loops
async def test_closing_cancels_running_downloads() -> None:
    async with site({"/": hang}) as running, fetcher(running) as subject:
        waiters = [asyncio.create_task(subject.fetch(running.url())) for _ in range(2)]
        await until(lambda: running.open == 1)
        await subject.aclose()
        assert not subject._tasks
        for waiter in waiters:
            with pytest.raises(GatewayDraining):
                await waiter
        with pytest.raises(GatewayDraining):
            await subject.fetch(running.url())
        await subject.aclose()


async def test_closing_waits_for_cancelled_downloads() -> None:
    async def never(host: str, port: int) -> Sequence[AddressInfo]:
        await asyncio.Event().wait()
        return []

    async with fetcher(resolver=never) as subject:
        waiter = asyncio.create_task(subject.fetch("http://a.example/"))
        await until(lambda: bool(subject._tasks))
        await subject.aclose()
        assert not subject._tasks
        with pytest.raises(GatewayDraining):
            await waiter


# Many at once


async def test_many_urls_are_downloaded_once_and_returned_in_order() -> None:
    async def later(wire: Wire) -> None:
        await asyncio.sleep(0.03)
        await wire.send(ok(b"a"))

    async with site({"/a": later, "/b": ok(b"b"), "/c": ok(b"c")}) as running, fetcher(running) as subject:
        urls = [running.url(path) for path in ("/a", "/b", "/a", "/c", "/b")]
        contents = await subject.fetch_all(iter(urls))
        assert [(url, fetched.data) for url, fetched in contents.items()] == [
            (running.url("/a"), b"a"), (running.url("/b"), b"b"), (running.url("/c"), b"c"),
        ]  # fmt: skip
        assert sorted(running.paths) == ["/a", "/b", "/c"]
        assert await subject.fetch_all([]) == {}


async def test_one_request_has_at_most_eight_concurrent_downloads() -> None:
    most = 0

    async def counted(wire: Wire) -> None:
        nonlocal most
        most = max(most, running.open)
        await asyncio.sleep(0.02)
        await wire.send(ok())

    async with site({f"/{number}": counted for number in range(30)}) as running, fetcher(running) as subject:
        assert len(await subject.fetch_all(running.url(f"/{number}") for number in range(30))) == 30
    assert most == module.MAX_CONCURRENT_PER_REQUEST


@on_both_loops
async def test_the_first_failure_cancels_the_others_and_has_the_url() -> None:
    async def fail(wire: Wire) -> None:
        await until(lambda: running.open == 3)
        await wire.send(status(404))

    async with site({"/1": hang, "/2": fail, "/3": hang}) as running, fetcher(running) as subject:
        with pytest.raises(DownloadRefused) as caught:
            await subject.fetch_all([running.url(f"/{number}") for number in (1, 2, 3)])
        assert (caught.value.reason, caught.value.url) == ("status", running.url("/2"))
        assert not subject._tasks
        await until(lambda: running.open == 0, 5.0)


async def test_the_total_size_is_limited() -> None:
    routes = {f"/{name}": ok(bytes(400)) for name in "abc"}
    async with site(routes) as running, fetcher(running, max_bytes=1000) as subject:
        assert len(await subject.fetch_all([running.url("/a"), running.url("/b")])) == 2
        with pytest.raises(DownloadRefused) as caught:  # remembered or not
            await subject.fetch_all([running.url("/a"), running.url("/b"), running.url("/c")])
    assert caught.value.reason == "too_large"
    assert_discloses_nothing(caught.value)


@on_both_loops
async def test_a_cancelled_request_cancels_its_downloads() -> None:
    async with site({f"/{number}": hang for number in range(20)}) as running, fetcher(running) as subject:
        task = asyncio.create_task(subject.fetch_all(running.url(f"/{number}") for number in range(20)))
        await until(lambda: running.open == module.MAX_CONCURRENT_PER_REQUEST)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not subject._tasks
        await until(lambda: running.open == 0, 5.0)


async def test_too_many_concurrent_downloads_are_a_gateway_overload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_CONCURRENT", 2)
    names = loopback("1.example", "2.example")
    routes = {"/1": hang, "/2": hang, "/3": ok()}
    async with site(routes) as running, fetcher(running, resolver=names, timeout=0.8) as subject:
        hanging = [
            asyncio.create_task(subject.fetch(running.url(f"/{number}", host=f"{number}.example"))) for number in (1, 2)
        ]
        await until(lambda: running.open == 2)
        for hung in hanging:
            assert not hung.done()
        subject._settings = FetchSettings(timeout=0.05, allow_private=("127.0.0.0/8",))
        with pytest.raises(GatewayOverloaded):
            await subject.fetch(running.url("/3"))
        await asyncio.wait(hanging)
        for hung in hanging:
            assert isinstance(hung.exception(), DownloadRefused)
        assert (await subject.fetch(running.url("/3"))).data == PNG


# Resolving


async def test_names_are_resolved_in_a_separate_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[tuple[str, str]] = []

    def getaddrinfo(host: str, port: int, type: int) -> Sequence[AddressInfo]:
        threads.append((host, threading.current_thread().name))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with site({"/": ok()}) as running, fetcher(running) as subject:
        assert (await subject.fetch(running.url(host="a.example"))).data == PNG
    [(host, thread)] = threads
    assert host == "a.example"
    assert thread.startswith("modelmux-fetch-dns")


async def test_a_slow_name_does_not_delay_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def getaddrinfo(host: str, port: int, type: int) -> Sequence[AddressInfo]:
        if host.startswith("slow"):
            release.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with site({"/": ok()}) as running, fetcher(running, timeout=2.0) as subject:
        try:
            slow_ones = [
                asyncio.create_task(subject.fetch(running.url(host=f"slow-{number}.example")))
                for number in range(module.MAX_CONCURRENT - 1)
            ]
            await asyncio.sleep(0.02)
            assert (await subject.fetch(running.url(host="fast.example"))).data == PNG
            assert not any(one.done() for one in slow_ones)
        finally:
            release.set()
        await asyncio.wait(slow_ones)
        assert all(one.result().data == PNG for one in slow_ones)


async def test_unresponsive_names_delay_only_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def getaddrinfo(host: str, port: int, type: int) -> Sequence[AddressInfo]:
        release.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "slow")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    numbers = count()
    async with site({"/": ok()}) as running, fetcher(running, timeout=0.2) as subject:
        try:
            slow_ones = [
                asyncio.create_task(subject.fetch(f"http://slow-{next(numbers)}.example/"))
                for _ in range(module.MAX_CONCURRENT - 1)
            ]
            await asyncio.sleep(0.05)
            assert (await subject.fetch(running.url())).data == PNG  # an address needs no resolving
            assert await asyncio.to_thread(lambda: "free") == "free"  # nor does the loop's own executor suffer
            await asyncio.wait(slow_ones)
            reasons = {str(getattr(one.exception(), "reason", one)) for one in slow_ones}
            assert reasons == {"timeout"}
        finally:
            release.set()


# What one request, one client or one host may take


async def test_a_request_may_refer_to_a_hundred_urls() -> None:
    async with site({f"/{number}": ok() for number in range(101)}) as running, fetcher(running) as subject:
        urls = [running.url(f"/{number}") for number in range(101)]
        with pytest.raises(DownloadRefused) as caught:
            await subject.fetch_all(urls)
        assert (caught.value.reason, caught.value.url) == ("too_many", urls[100])
        assert not running.heads
        assert len(await subject.fetch_all([*urls[:100], urls[0]])) == 100


@pytest.mark.parametrize("forbidden", ["http://169.254.169.254/latest", "http://user@a.example/", "gopher://x/"])
async def test_all_urls_are_checked_before_the_first_is_fetched(forbidden: str) -> None:
    async with site({"/": ok()}) as running, fetcher(running) as subject:
        with pytest.raises(DownloadRefused) as caught:
            await subject.fetch_all([running.url(), forbidden])
        assert caught.value.url == forbidden
        assert not running.heads


async def test_neither_a_client_nor_a_host_that_hangs_stops_the_downloads_of_others() -> None:
    routes = {f"/{number}": hang for number in range(64)} | {"/": ok()}
    names = loopback("slow.example", "fast.example")
    async with site(routes) as running, fetcher(running, resolver=names) as subject:
        hanging = [
            asyncio.create_task(subject.fetch(running.url(f"/{number}", host="slow.example"), f"key-{number % 2}"))
            for number in range(64)
        ]
        await until(lambda: running.open == module.MAX_CONCURRENT // 2)
        assert (await subject.fetch(running.url(host="fast.example"), "key-0")).data == PNG
        for task in hanging:
            task.cancel()
        await asyncio.wait(hanging)
