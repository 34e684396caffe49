"""The workers as their supervisor sees them: restart delay, hang detection, orphaned sockets, channel."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelmux.process.workers.protocol import (
    WORKER_DECODER,
    ApplyConfig,
    Draining,
    FrameDecoder,
    Shutdown,
    encode_frame,
)
from modelmux.process.workers.worker_slot import (
    ADMIN,
    MAX_RESTART_DELAY,
    RESTART_SPREAD,
    STABLE_AFTER,
    Backoff,
    Channel,
    State,
    WorkerSlot,
    assign_orphaned_sockets,
    hang_timeout,
)


def test_early_exits_double_the_delay_up_to_a_bound_and_a_stable_run_resets_it() -> None:
    backoff = Backoff()
    delays = [backoff.delay(lifetime=0.5) for _ in range(12)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    assert backoff.delay(STABLE_AFTER) == 0.1
    assert [backoff.delay(0), backoff.delay(0)] == [0.1, 0.2]


def test_no_number_of_exits_overflows_the_delay() -> None:
    assert Backoff(early_exits=100_000).delay(0) == MAX_RESTART_DELAY


@given(exits=st.integers(0, 40), lifetime=st.floats(0, 2 * STABLE_AFTER), jitter=st.floats(0, 1))
def test_the_delay_has_a_random_part_of_up_to_a_quarter(exits: int, lifetime: float, jitter: float) -> None:
    least = Backoff(exits).delay(lifetime)
    most = Backoff(exits).delay(lifetime, 1.0)
    assert most == pytest.approx(least * (1 + RESTART_SPREAD))
    assert least <= Backoff(exits).delay(lifetime, jitter) <= most <= MAX_RESTART_DELAY * 1.25
    if jitter > 0.01:
        assert Backoff(exits).delay(lifetime, jitter) > least


def test_a_silent_worker_is_given_up_once() -> None:
    slot = WorkerSlot(1, heartbeat=b"same")
    assert [slot.record_heartbeat(b"same", 2.0, 5.0) for _ in range(5)] == [False, False, True, False, False]


def test_a_heartbeat_ends_the_silence() -> None:
    slot = WorkerSlot(1)
    assert [slot.record_heartbeat(beat, 2.0, 5.0) for beat in (b"a", b"a", b"a", b"b", b"b", b"b")] == [False] * 6
    assert slot.silent == 4.0


@pytest.mark.parametrize(("watchdog", "seconds"), [(None, 20.0), (30.0, 20.0), (10.0, 10.0), (0.3, 5.0)])
def test_a_hung_worker_is_replaced_before_a_manager_restarts_all(watchdog: float | None, seconds: float) -> None:
    assert hang_timeout(watchdog) == seconds


def slots_in(*states: State) -> list[WorkerSlot]:
    return [WorkerSlot(number, state=state) for number, state in enumerate(states, 1)]


def test_every_socket_is_served_while_any_worker_can() -> None:
    up, down = State.READY, State.DOWN
    assert assign_orphaned_sockets(slots_in(up, up, up)) == {1: [], 2: [], 3: []}
    some = slots_in(up, down, State.STARTING, up, State.DRAINING)
    assert assign_orphaned_sockets(some) == {
        1: [1, 4],
        2: [],
        3: [],
        4: [2],
        5: [],
    }
    assert assign_orphaned_sockets(slots_in(down, down)) == {1: [], 2: []}


def test_the_socket_of_a_silent_worker_is_served_and_it_gets_no_other() -> None:
    slots = slots_in(State.READY, State.READY, State.DOWN)
    slots[0].silent = 2.0
    assert assign_orphaned_sockets(slots) == {1: [], 2: [0, 2], 3: []}


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_a_worker_that_does_not_read_blocks_nothing(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    message = ApplyConfig(1, bytes(3 * 2**20))
    channel.send(message)
    assert channel.pending
    received, frames = [], FrameDecoder()
    while channel.pending or not received:
        received += [WORKER_DECODER.decode(body) for body in frames.feed(theirs.recv(2**20))]
        channel.flush()
    assert received == [message]


def test_messages_before_the_end_are_received(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    theirs.sendall(encode_frame(Draining()))
    theirs.close()
    assert [type(m) for m in channel.receive()] == [Draining]
    assert channel.ended
    channel.send(Shutdown(True))  # the other end is closed


def test_bytes_that_are_not_a_message_are_an_error(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    theirs.sendall(b"\0\0\0\3GET")
    with pytest.raises(ValueError):
        list(channel.receive())


def test_the_process_of_the_admin_api_is_called_so() -> None:
    slot, worker = WorkerSlot(ADMIN), WorkerSlot(2)
    assert (slot.name, slot.title) == ("admin", "the admin API")
    assert (worker.name, worker.title) == (2, "worker 2")
    assert "those of models are not" in slot.describe_exit()
    slot.backoff.early_exits = 3
    assert "crash loop" in slot.describe_exit()
