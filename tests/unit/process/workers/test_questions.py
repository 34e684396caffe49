"""Risk: the process of the admin API waits for a worker that hangs, takes an answer for that to another question, or
keeps what nobody waits for."""

from __future__ import annotations

import asyncio

from modelmux.accounts.live_requests import (
    ListLive,
    LiveAnswer,
    LiveList,
    LiveQuestion,
    decode_question,
    encode,
)
from modelmux.admin.backend import Answers
from modelmux.process.workers.protocol import Answer, AskWorkers, Question, WorkerAnswer
from modelmux.process.workers.questions import MOST, WorkerQuestions, answered
from support.log_lines import Lines


class Workers:
    """The supervisor and its workers. :ivar silent: those that do not answer."""

    def __init__(self, *numbers: int, silent: tuple[int, ...] = (), timeout: float = 100.0) -> None:
        self.numbers = numbers
        self.silent = silent
        self.sent: list[AskWorkers] = []
        self.questions = WorkerQuestions(self.send, lambda: self.numbers, timeout)

    def send(self, message: AskWorkers) -> None:
        self.sent.append(message)
        for worker in self.numbers:
            if worker not in self.silent and message.worker in (0, worker):
                self.answer(message.number, worker)

    def answer(self, number: int, worker: int, more: int = 0) -> None:
        body = encode(LiveList(requests=[], more=more))
        asyncio.get_running_loop().call_soon(self.questions.on_answer, WorkerAnswer(number, worker, body))


async def test_all_that_run_are_asked_and_the_answer_comes_with_the_last() -> None:
    workers = Workers(1, 3)
    answers = await workers.questions.ask(ListLive(state="queued"))
    assert answers == Answers({1: LiveList(requests=[]), 3: LiveList(requests=[])}, [])
    (sent,) = workers.sent
    assert (sent.worker, decode_question(sent.body)) == (0, ListLive(state="queued"))


async def test_one_alone_is_asked() -> None:
    workers = Workers(1, 3)
    assert list((await workers.questions.ask(ListLive(), 3)).by_worker) == [3]
    assert await workers.questions.ask(ListLive(), 2) == Answers({}, []), "it does not run"
    assert [sent.worker for sent in workers.sent] == [3]


async def test_a_worker_that_is_silent_is_missing() -> None:
    workers = Workers(1, 2, 4, silent=(4, 2), timeout=0.01)
    answers = await workers.questions.ask(ListLive())
    assert (list(answers.by_worker), answers.missing) == ([1], [2, 4])


async def test_answers_that_come_late_twice_or_to_others_change_nothing() -> None:
    workers = Workers(1, 2, silent=(1, 2))
    asking = asyncio.create_task(workers.questions.ask(ListLive()))
    await asyncio.sleep(0)
    workers.questions.on_answer(WorkerAnswer(1, 1, b"?"))
    for number, worker, more in ((7, 1, 9), (1, 5, 9), (1, 1, 1), (1, 1, 9), (1, 2, 2), (1, 2, 9)):
        workers.answer(number, worker, more)
    answers = await asking
    assert {number: one.more for number, one in answers.by_worker.items() if isinstance(one, LiveList)} == {1: 1, 2: 2}
    workers.answer(1, 1)
    await asyncio.sleep(0)
    assert not workers.questions._open


def test_a_failure_to_answer_is_for_the_log() -> None:
    lines = Lines()

    def fail(question: LiveQuestion) -> LiveAnswer:
        raise ValueError("as of a text that cannot be encoded")

    question = Question(7, encode(ListLive(limit=3)))
    assert answered(question, fail, lines) is None
    assert [event for event, _ in lines.lines] == ["internal_error"]
    assert answered(Question(8, b"?"), fail, lines) is None
    good = LiveList(requests=[], more=3)
    assert answered(question, lambda _: good, lines) == Answer(7, encode(good))


async def test_not_all_questions_are_under_way_at_once() -> None:
    workers = Workers(1, silent=(1,))
    asking = [asyncio.create_task(workers.questions.ask(ListLive())) for _ in range(MOST + 2)]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(workers.sent) == MOST
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    await asyncio.sleep(0)
    assert len(workers.sent) == MOST + 1, "one that nobody waits for makes room"
    while not all(one.done() for one in asking):
        for sent in workers.sent:
            workers.answer(sent.number, 1)
        await asyncio.sleep(0)
    assert len(workers.sent) == MOST + 2
