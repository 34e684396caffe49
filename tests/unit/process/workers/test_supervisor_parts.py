"""The parts of a supervisor without processes: back-off, who stands in for whom, frames, sums, questions, handover."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from modelmux.config import Config, ConfigError, Loaded
from modelmux.process.reload import Outcome
from modelmux.process.workers.aggregation import ANSWER_SECONDS, Inquiries
from modelmux.process.workers.config_rollout import ADOPT_SECONDS, Handover
from modelmux.process.workers.protocol import (
    AT_SUPERVISOR,
    AT_WORKER,
    MAX_FRAME,
    Adopt,
    Answer,
    Ask,
    Frames,
    Leave,
    Ready,
    Said,
    Tell,
    frame,
)
from modelmux.process.workers.worker_reports import Census
from modelmux.process.workers.worker_slot import (
    LONGEST_DELAY,
    STEADY,
    Backoff,
    Channel,
    Member,
    State,
    patience_with,
    stand_ins,
)
from modelmux.telemetry.log import quiet
from modelmux.telemetry.worker_metrics import Family, Report


def counted(value: float) -> list[Family]:
    return [Family("c", "", "counter", [("c_total", (), value)])]


def report(total: int, problem: str | None = None) -> Report:
    return Report(counts={"total": total}, problem=problem, families=counted(total))


# --- when a worker is started again -------------------------------------------------------------------------------


def test_early_ends_double_the_wait_up_to_a_bound_and_a_steady_life_forgives() -> None:
    backoff = Backoff()
    delays = [backoff.delay(lived=0.5) for _ in range(12)]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0, 30.0]
    assert backoff.delay(STEADY) == 0.1
    assert [backoff.delay(0), backoff.delay(0)] == [0.1, 0.2]


def test_no_number_of_ends_is_too_large_to_wait_for() -> None:
    assert Backoff(early=100_000).delay(0) == LONGEST_DELAY


# --- when one that hangs is given up ------------------------------------------------------------------------------


def test_one_that_keeps_silent_is_given_up_once() -> None:
    member = Member(1)
    assert [member.bear(2.0, 5.0) for _ in range(5)] == [False, False, True, False, False]


@pytest.mark.parametrize(("watchdog", "seconds"), [(None, 20.0), (30.0, 20.0), (10.0, 10.0), (0.3, 5.0)])
def test_one_that_hangs_is_replaced_before_a_manager_replaces_all(watchdog: float | None, seconds: float) -> None:
    assert patience_with(watchdog) == seconds


# --- who stands in for whom ---------------------------------------------------------------------------------------


def crew(*states: State) -> list[Member]:
    return [Member(number, state=state) for number, state in enumerate(states, 1)]


def test_every_socket_has_somebody_who_accepts_while_anybody_can() -> None:
    up, down = State.SERVING, State.DOWN
    assert stand_ins(crew(up, up, up)) == {1: [], 2: [], 3: []}
    assert stand_ins(crew(up, down, State.STARTING, up, State.LEAVING)) == {1: [1, 4], 2: [], 3: [], 4: [2], 5: []}
    assert stand_ins(crew(down, down)) == {1: [], 2: []}


def test_one_that_keeps_silent_is_stood_in_for_and_stands_in_for_nobody() -> None:
    members = crew(State.SERVING, State.SERVING, State.DOWN)
    members[0].silent = 2.0
    assert stand_ins(members) == {1: [], 2: [0, 2], 3: []}


# --- frames and channels ------------------------------------------------------------------------------------------


def test_messages_arrive_however_their_bytes_are_cut() -> None:
    sent = [Ready(), Said(3, report(5)), Ask(1, True, report(6))]
    data = b"".join(map(frame, sent))
    for size in (1, 3, 7, len(data)):
        frames = Frames()
        cuts = [data[at : at + size] for at in range(0, len(data), size)]
        assert [AT_SUPERVISOR.decode(body) for cut in cuts for body in frames.feed(cut)] == sent


def test_no_frame_is_waited_for_that_is_larger_than_any_message() -> None:
    with pytest.raises(ValueError, match="larger"):
        list(Frames().feed((MAX_FRAME + 1).to_bytes(4, "big")))


@pytest.fixture
def pair() -> Iterator[tuple[Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Channel(ours), theirs


def test_a_worker_that_does_not_read_makes_nobody_wait(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    message = Adopt(1, bytes(3 * 2**20))
    channel.send(message)
    assert channel.pending
    received, frames = [], Frames()
    while channel.pending or not received:
        received += [AT_WORKER.decode(body) for body in frames.feed(theirs.recv(2**20))]
        channel.flush()
    assert received == [message]


def test_what_came_before_the_end_is_heard(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    theirs.sendall(frame(Said(0, report(7))))
    theirs.close()
    assert [type(m) for m in channel.receive()] == [Said]
    assert channel.ended
    channel.send(Tell(1, True))  # to nobody


def test_what_is_no_message_is_an_error_and_not_a_crash(pair: tuple[Channel, socket.socket]) -> None:
    channel, theirs = pair
    theirs.sendall(b"\0\0\0\3GET")
    with pytest.raises(ValueError):
        list(channel.receive())


# --- sums ---------------------------------------------------------------------------------------------------------


def test_the_sum_stays_when_a_worker_ends_and_its_successor_begins_at_nought() -> None:
    census, sums = Census(), []

    def look() -> None:
        whole = census.whole([1, 2], 2, [])
        (family,) = whole.families or []
        sums.append((whole.counts["total"], family.samples[0][2]))

    for number, total in ((1, 5), (2, 7)):
        census.heard(number, report(total))
    look()
    census.gone(1)
    look()
    census.heard(1, report(0))
    look()
    census.heard(1, Report(counts={"total": 1}))  # without metrics: those of before
    look()
    assert sums == [(12, 12), (12, 12), (12, 12), (13, 12)]


def test_the_problem_of_one_that_accepts_is_the_problem_of_the_whole() -> None:
    census = Census()
    census.heard(1, report(0))
    census.heard(2, report(0, "credentials"))
    assert census.whole([1, 2], 3, None).problem == "credentials"
    alone = census.whole([1], 3, None)
    assert (alone.problem, alone.serving, alone.of, alone.families) == (None, 1, 3, None)


# --- questions ----------------------------------------------------------------------------------------------------


class Peer(Member):
    """A member that keeps what is sent to it."""

    def __init__(self, number: int, state: State = State.SERVING) -> None:
        super().__init__(number, state=state)
        self.got: list[Any] = []

    def send(self, message: Any) -> None:
        self.got.append(message)

    def says(self, inquiries: Inquiries, total: int) -> None:
        self.answered = self.asked
        inquiries.heard(self, report(total))

    @property
    def answers(self) -> list[tuple[int, int]]:
        return [(m.number, m.whole.counts["total"]) for m in self.got if isinstance(m, Answer)]


def test_an_answer_waits_for_the_others_and_not_for_one_that_keeps_silent() -> None:
    asker, other, hung = Peer(1), Peer(2), Peer(3)
    inquiries = Inquiries([asker, other, hung])
    hung.says(inquiries, 100)
    hung.silent = 3.0
    inquiries.ask(asker, Ask(9, False, report(1)), now=50.0)
    assert (asker.answers, hung.got) == ([], [])
    other.says(inquiries, 10)
    assert asker.answers == [(9, 111)]
    assert inquiries.until is None


def test_a_report_that_was_on_its_way_before_the_question_does_not_answer_it() -> None:
    asker, other = Peer(1), Peer(2)
    inquiries = Inquiries([asker, other])
    earlier = other.tell(metrics=True)
    inquiries.ask(asker, Ask(1, True, report(0)), now=0.0)
    other.answered = earlier
    inquiries.heard(other, report(1))
    assert asker.answers == []
    other.says(inquiries, 2)
    assert asker.answers == [(1, 2)]


def test_one_that_does_not_report_is_waited_for_so_long_and_no_longer() -> None:
    asker, other = Peer(1), Peer(2)
    inquiries = Inquiries([asker, other])
    other.says(inquiries, 10)
    inquiries.ask(asker, Ask(1, True, report(1)), now=50.0)
    assert inquiries.until == 50.0 + ANSWER_SECONDS
    inquiries.see_to(50.0 + ANSWER_SECONDS / 2)
    assert asker.answers == []
    inquiries.see_to(50.0 + ANSWER_SECONDS)
    assert asker.answers == [(1, 11)]


@pytest.mark.parametrize("who", ["the one that asked", "the one that is waited for"])
def test_a_question_ends_with_the_worker(who: str) -> None:
    asker, other = Peer(1), Peer(2)
    inquiries = Inquiries([asker, other])
    other.says(inquiries, 10)
    inquiries.ask(asker, Ask(1, True, report(1)), now=0.0)
    inquiries.gone(asker if who == "the one that asked" else other)
    assert asker.answers == ([] if who == "the one that asked" else [(1, 11)])
    assert inquiries.until is None


# --- a new configuration ------------------------------------------------------------------------------------------

GOOD = {"vertex": {"project": "p", "location": "global"}, "auth": {"access_token": "t"}}


def tree(strict: bool) -> dict[str, Any]:
    return {**GOOD, "server": {"strict": strict}}


def config(strict: bool) -> Config:
    return Config.from_dict(tree(strict))


def handover(crew: list[Peer], read: Callable[[], Loaded]) -> tuple[Handover, list[Outcome]]:
    told: list[Outcome] = []
    return Handover(config(False), crew, read, "127.0.0.1", quiet(), told.append), told


def test_all_that_run_get_the_configuration_and_the_last_one_ends_it() -> None:
    peers = [Peer(1), Peer(2, State.STARTING), Peer(3, State.DOWN)]
    over, told = handover(peers, lambda: Loaded(config(True), (), ["a warning"], tree(True)))
    over.begin(0.0)
    assert [len(p.got) for p in peers] == [1, 1, 0]
    assert Config.from_dict(msgspec.msgpack.decode(peers[0].got[0].config)) == over.config == config(True)
    over.adopted(peers[0], 2, None, 0.1)
    assert told == []
    over.gone(peers[1], 0.2)  # it ended: its successor begins with the new one
    assert told == [Outcome([], ["a warning"])]
    assert not over.running


def test_a_configuration_that_cannot_be_used_reaches_nobody() -> None:
    def read() -> Loaded:
        raise ConfigError(["no good"])

    peer = Peer(1)
    over, told = handover([peer], read)
    over.begin(0.0)
    assert (peer.got, told) == ([], [Outcome(["no good"], [])])
    assert (over.generation, over.config, over.running) == (1, config(False), False)


def test_one_that_reads_well_and_listens_to_strangers_without_keys_reaches_nobody() -> None:
    peer = Peer(1)
    told: list[Outcome] = []
    over = Handover(
        config(False), [peer], lambda: Loaded(config(True), (), tree=tree(True)), "0.0.0.0", quiet(), told.append
    )
    over.begin(0.0)
    assert peer.got == []
    assert "can be reached from other machines" in told[0].problems[0]


def test_asked_again_during_one_it_reads_again_after_it() -> None:
    reads = []

    def read() -> Loaded:
        reads.append(1)
        return Loaded(config(True), (), tree=tree(True))

    peer = Peer(1)
    over, told = handover([peer], read)
    for _ in range(5):
        over.begin(0.0)
    assert len(reads) == 1
    over.adopted(peer, 2, None, 0.1)
    assert (len(reads), len(told), over.generation) == (2, 1, 3)
    over.adopted(peer, 2, None, 0.2)  # of the one before, late
    assert len(told) == 1
    over.adopted(peer, 3, None, 0.3)
    assert len(told) == 2


def test_one_that_does_not_answer_is_named_and_one_that_cannot_is_replaced() -> None:
    hung, broken = Peer(1), Peer(2)
    over, told = handover([hung, broken], lambda: Loaded(config(True), (), tree=tree(True)))
    over.begin(0.0)
    over.adopted(broken, 2, "OSError at x.py:1", 0.1)
    assert broken.got[-1] == Leave(at_once=False)
    over.see_to(ADOPT_SECONDS)
    assert told == [Outcome([], ["worker 1 has not answered yet"])]
