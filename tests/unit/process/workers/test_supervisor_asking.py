"""What a worker's clients ask of the whole: any number of them costs the supervisor little, and none waits for long."""

from __future__ import annotations

import asyncio

import pytest

from modelmux.process.workers import aggregate_client
from modelmux.process.workers.aggregate_client import MOST_OWED, Asking
from modelmux.telemetry.worker_metrics import Whole


class Supervisor:
    """Keeps what it is asked."""

    def __init__(self, *, gone: bool = False) -> None:
        self.asked: list[tuple[int, bool]] = []
        self._gone = gone

    def __call__(self, number: int, metrics: bool) -> bool:
        self.asked.append((number, metrics))
        return not self._gone


@pytest.fixture
def supervisor() -> Supervisor:
    return Supervisor()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregate_client, "PATIENCE", {True: 0.2, False: 0.1})


def whole(total: int) -> Whole:
    return Whole(counts={"total": total}, problem=None, serving=1, of=1)


async def asked(supervisor: Supervisor, count: int) -> None:
    async with asyncio.timeout(2):
        while len(supervisor.asked) < count:  # noqa: ASYNC110 - what it keeps is looked at from outside
            await asyncio.sleep(0.001)


async def test_many_that_ask_together_are_one_question(supervisor: Supervisor) -> None:
    questions = Asking(supervisor)
    clients = [asyncio.create_task(questions.ask(True)) for _ in range(100)]
    await asked(supervisor, 1)
    questions.answered(1, whole(7))
    assert await asyncio.gather(*clients) == [whole(7)] * 100
    assert supervisor.asked == [(1, True)]


async def test_who_asks_later_gets_a_later_answer(supervisor: Supervisor) -> None:
    questions = Asking(supervisor)
    first = asyncio.create_task(questions.ask(True))
    await asked(supervisor, 1)
    second = asyncio.create_task(questions.ask(True))
    await asked(supervisor, 2)
    questions.answered(1, whole(1))
    questions.answered(2, whole(2))
    assert [await first, await second] == [whole(1), whole(2)]


async def test_a_scrape_gets_no_numbers_of_earlier_because_another_worker_may_have_shown_larger_ones(
    supervisor: Supervisor,
) -> None:
    questions = Asking(supervisor)
    for number, metrics in ((1, True), (2, False)):
        client = asyncio.create_task(questions.ask(metrics))
        await asked(supervisor, number)
        questions.answered(number, whole(number))
        assert await client == whole(number)
    assert await questions.ask(True) is None  # the supervisor keeps silent
    assert await questions.ask(False) == whole(2)  # a probe: it was well, and requests do not need the supervisor


async def test_while_answers_are_owed_all_further_clients_share_one_question(supervisor: Supervisor) -> None:
    questions = Asking(supervisor)
    clients = []
    for number in range(1, MOST_OWED + 1):
        clients.append(asyncio.create_task(questions.ask(True)))
        await asked(supervisor, number)
    late = [asyncio.create_task(questions.ask(True)) for _ in range(50)]
    await asyncio.sleep(3 * aggregate_client.GATHER_SECONDS)
    assert len(supervisor.asked) == MOST_OWED
    questions.answered(1, whole(1))
    assert len(supervisor.asked) == MOST_OWED + 1
    for number in range(2, MOST_OWED + 2):
        questions.answered(number, whole(number))
    assert await asyncio.gather(*clients) == [whole(n) for n in range(1, MOST_OWED + 1)]
    assert await asyncio.gather(*late) == [whole(MOST_OWED + 1)] * 50


async def test_a_supervisor_that_was_silent_for_long_finds_few_questions(supervisor: Supervisor) -> None:
    questions = Asking(supervisor)
    for _ in range(3 * MOST_OWED):
        questions_of_one_client = asyncio.create_task(questions.ask(False))
        await asyncio.sleep(2 * aggregate_client.GATHER_SECONDS)
        questions_of_one_client.cancel()
        await asyncio.wait([questions_of_one_client])
    assert len(supervisor.asked) == MOST_OWED
    for number in range(1, MOST_OWED + 1):
        questions.answered(number, whole(number))
    after = asyncio.create_task(questions.ask(False))
    await asyncio.sleep(2 * aggregate_client.GATHER_SECONDS)
    questions.answered(MOST_OWED + 1, whole(99))
    assert await after == whole(99)


@pytest.mark.parametrize("count", [1, MOST_OWED + 1])
async def test_when_the_supervisor_goes_nobody_waits(supervisor: Supervisor, count: int) -> None:
    questions = Asking(supervisor)
    clients = []
    for number in range(1, count + 1):
        clients.append(asyncio.create_task(questions.ask(True)))
        await asked(supervisor, min(number, MOST_OWED))
        await asyncio.sleep(0)
    begun = asyncio.get_running_loop().time()
    questions.over()
    assert await asyncio.gather(*clients) == [None] * count
    assert await questions.ask(True) is None
    assert asyncio.get_running_loop().time() - begun < 0.1


async def test_where_nobody_can_be_asked_the_answer_is_none() -> None:
    assert await Asking(Supervisor(gone=True)).ask(True) is None
