"""Risk: a name server that is slow or down stops calls to names that are known, or to others."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from modelmux.upstream import name_lookups as module
from modelmux.upstream.connect import AddressInfo
from modelmux.upstream.name_lookups import FRESH, RETRY_DELAY, RETRY_SPREAD, STALE, NameLookUps
from support.clock import Clock
from support.http_peers import on_both_loops, until


class NameServer:
    """Stands in for the system resolver."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self.threads: list[threading.Thread] = []
        self.addresses: dict[str, str] = {}
        self.error: OSError | UnicodeError | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def getaddrinfo(self, host: str, port: int, type: int, flags: int = 0) -> Sequence[AddressInfo]:
        self.queries.append(host)
        self.threads.append(threading.current_thread())
        self.may_answer.wait(10)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.addresses.get(host, "192.0.2.1"), port))]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(module.socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.may_answer.set()


def look_ups(threads: int = 2, jitter: float = 0.0) -> tuple[NameLookUps, Clock]:
    clock = Clock()
    return NameLookUps(threads, "test-dns", clock=clock, jitter=lambda: jitter), clock


async def address(subject: NameLookUps, host: str = "a.example") -> str:
    [info] = await subject(host, 443)
    return str(info[4][0])


async def fails(subject: NameLookUps, host: str = "a.example") -> OSError:
    with pytest.raises(OSError) as caught:
        await subject(host, 443)
    return caught.value


@on_both_loops
async def test_an_answer_is_used_for_thirty_seconds(server: NameServer) -> None:
    subject, clock = look_ups()
    assert [await address(subject) for _ in range(3)] == ["192.0.2.1"] * 3
    clock.now += FRESH - 1
    await address(subject)
    assert len(server.queries) == 1
    clock.now += 1
    server.addresses["a.example"] = "192.0.2.2"
    assert await address(subject) == "192.0.2.2"
    assert server.threads[0].name == "test-dns"
    assert server.threads[0].daemon  # one that hangs does not delay the end of the process


async def test_callers_share_one_look_up_for_a_name(server: NameServer) -> None:
    subject, _ = look_ups(threads=4)
    server.may_answer.clear()
    callers = [asyncio.create_task(address(subject)) for _ in range(50)]
    await until(lambda: len(server.queries) == 1)
    callers.pop().cancel()  # the others get their answer
    server.may_answer.set()
    assert set(await asyncio.gather(*callers)) == {"192.0.2.1"}
    assert server.queries == ["a.example"]


async def test_threads_are_limited_and_what_nobody_waits_for_is_not_looked_up(server: NameServer) -> None:
    subject, _ = look_ups(threads=2)
    server.may_answer.clear()
    tasks = {host: asyncio.create_task(address(subject, host)) for host in ("a", "b", "c", "d")}
    await until(lambda: len(server.queries) == 2)
    tasks.pop("c").cancel()
    await asyncio.sleep(0)
    server.may_answer.set()
    await asyncio.gather(*tasks.values())
    assert server.queries == ["a", "b", "d"]
    assert not subject._look_ups


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
async def test_a_known_name_is_used_on_when_the_server_fails(server: NameServer, code: int) -> None:
    subject, clock = look_ups()
    await address(subject)
    clock.now += FRESH
    server.error = socket.gaierror(code, "failed")
    assert await address(subject) == "192.0.2.1"
    assert await address(subject) == "192.0.2.1"
    assert len(server.queries) == 2  # the server is left alone for a moment
    clock.now += RETRY_DELAY
    assert await address(subject) == "192.0.2.1"
    assert len(server.queries) == 3
    clock.now += STALE
    assert (await fails(subject)).errno == code
    assert (await fails(subject, "b.example")).errno == code


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
async def test_a_server_that_failed_is_left_alone_for_a_time_with_a_random_part(
    server: NameServer, jitter: float
) -> None:
    subject, clock = look_ups(jitter=jitter)
    await address(subject)
    clock.now += FRESH
    server.error = socket.gaierror(socket.EAI_AGAIN, "failed")
    await address(subject)
    clock.now += RETRY_DELAY * (1 + RETRY_SPREAD * jitter) - 0.01
    await address(subject)
    assert len(server.queries) == 2
    clock.now += 0.02
    await address(subject)
    assert len(server.queries) == 3


async def test_a_known_name_is_used_on_while_the_server_is_silent(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    subject, clock = look_ups()
    await address(subject)
    clock.now += FRESH
    server.may_answer.clear()
    server.addresses["a.example"] = "192.0.2.2"
    assert await address(subject) == "192.0.2.1"
    clock.now += 5
    assert await address(subject) == "192.0.2.1"  # at once: that look-up has had its time
    assert len(server.queries) == 2
    server.may_answer.set()
    await until(lambda: not subject._look_ups)
    assert await address(subject) == "192.0.2.2"


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError("label too long")])
async def test_a_name_that_has_gone_is_not_used_on(server: NameServer, error: OSError | UnicodeError) -> None:
    subject, clock = look_ups()
    await address(subject)
    clock.now += FRESH
    server.error = error
    assert (await fails(subject)).errno == socket.EAI_NONAME
    server.error = socket.gaierror(socket.EAI_AGAIN, "failed")
    assert (await fails(subject)).errno == socket.EAI_AGAIN


async def test_a_failure_is_not_remembered(server: NameServer) -> None:
    subject, _ = look_ups()
    server.error = socket.gaierror(socket.EAI_AGAIN, "failed")
    await fails(subject)
    server.error = None
    assert await address(subject) == "192.0.2.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_addresses_need_no_thread(server: NameServer, host: str) -> None:
    subject, _ = look_ups()
    await subject(host, 443)
    assert server.threads == [threading.main_thread()]


async def test_answers_are_bounded(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ANSWERS", 2)
    subject, _ = look_ups()
    for host in ("a", "b", "a", "c"):
        await address(subject, host)
    assert [host for host, _ in subject._answers] == ["b", "c"]


def test_another_event_loop_asks_anew(server: NameServer) -> None:
    subject, _ = look_ups()
    server.may_answer.clear()

    async def leave() -> None:
        task = asyncio.create_task(address(subject))
        await until(lambda: len(server.queries) == 1)
        task.cancel()

    asyncio.run(leave())
    server.may_answer.set()
    assert asyncio.run(address(subject)) == "192.0.2.1"
