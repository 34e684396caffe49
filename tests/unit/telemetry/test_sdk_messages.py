"""Risk: nobody is told that a collector takes nothing, or is told with each attempt; a program around this library
loses what it reads."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

import pytest

from modelmux.telemetry.log import null_logger
from modelmux.telemetry.sdk_messages import INTERVAL, SdkMessages, hear, hear_no_more
from support.exchange_world import RecordingLog

SDK = logging.getLogger("opentelemetry.exporter")


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No program reads messages: pytest itself does."""
    monkeypatch.setattr(logging.getLogger("opentelemetry"), "hasHandlers", lambda: False)


class Heard:
    """What a log has got. :ivar now: of the clock."""

    def __init__(self) -> None:
        self.log, self.now = RecordingLog(), 0.0
        self.handler = hear(self.log, lambda: self.now)

    @property
    def messages(self) -> list[str]:
        return [fields["message"] for event, fields in self.log.lines if event == "telemetry"]

    async def say(self, message: str, *arguments: object, **options: object) -> None:
        """As the SDK does, from a thread of its own."""
        thread = threading.Thread(target=SDK.warning, args=(message, *arguments), kwargs=options)
        thread.start()
        thread.join()
        await asyncio.sleep(0)


@pytest.mark.usefixtures("alone")
async def test_each_kind_of_message_is_logged_once_in_a_while() -> None:
    heard = Heard()
    for seconds in (1, 2, 4):
        await heard.say("%s is down, again in %s s", "http://c/v1?key=s3cret", seconds)
    await heard.say("gave up")
    heard.now = INTERVAL
    await heard.say("%s is down, again in %s s", "http://c", 8)
    hear_no_more(heard.handler)
    await heard.say("another one")
    assert heard.messages == ["http://c/v1?… is down, again in 1 s", "gave up", "http://c is down, again in 8 s"]


@pytest.mark.usefixtures("alone")
async def test_an_exception_is_a_part_of_the_message_and_an_answer_is_cut() -> None:
    heard = Heard()
    try:
        raise OSError("no such file")
    except OSError:
        problem = sys.exc_info()
    await heard.say("it failed", exc_info=problem)
    await heard.say("x" * 9999)
    hear_no_more(heard.handler)
    assert heard.messages == ["it failed OSError: no such file", "x" * 500]


async def test_a_program_that_reads_the_messages_keeps_them() -> None:
    assert logging.getLogger("opentelemetry").hasHandlers()
    assert hear(null_logger(), float) is None
    hear_no_more(None)


def test_a_message_after_the_end_of_the_loop_is_lost_without_an_error() -> None:
    async def made() -> SdkMessages:
        return SdkMessages(null_logger(), lambda: 0.0)

    asyncio.run(made()).emit(logging.LogRecord("a", logging.WARNING, "", 1, "late", None, None))
