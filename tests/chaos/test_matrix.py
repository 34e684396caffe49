"""Every fault of the emulator, unary and streamed, before and after the first content, with retries and without: what
the real SDK sees, what Vertex AI sees, what is counted, and that nothing is left.

Risk: a broken upstream that looks like success; a failure that another attempt would have cured; an attempt too many;
something that stays open.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

import openai
import pytest

from modelmux.emulator.faults.rules import FaultSpec
from support.chaos import left_over, open_files, world
from support.http_peers import until

#: ``folded``: a unary response that is streamed upstream because it may be long.
Kind = Literal["unary", "folded", "stream"]
KINDS: Final[tuple[Kind, ...]] = ("unary", "folded", "stream")


@dataclass(frozen=True)
class Row:
    """A fault and what is expected of it.

    :param words: of the directive.
    :param status: of the error the client gets; None where it is no error.
    :param code: of that error.
    :param again: whether another attempt is worth it.
    :param inside: it strikes after content: for a client that streams an error inside the stream, whatever is allowed.
    :param of: which kind of upstream reply it strikes.
    """

    words: str
    status: int | None
    code: str | None = None
    again: bool = False
    inside: bool = False
    of: Literal["both", "unary", "stream"] = "both"

    def strikes(self, kind: Kind) -> bool:
        return self.of in ("both", "unary" if kind == "unary" else "stream")

    def expected(self, kind: Kind) -> tuple[int | None, bool, bool]:
        """The status, whether another attempt is made, whether the client has seen content before."""
        if self.inside and kind == "folded":  # nothing was shown, so it is as good as an error before
            status = {"upstream_broken": 502, "upstream_timeout": 504}.get(self.code or "", 503)
            return status, status != 504, False
        return self.status, self.again, self.inside


ROWS: Final = [
    # refusals
    Row("status=400", 400),
    Row("status=401 shape=google", 502, "upstream_auth_error"),  # a configured token cannot be renewed
    Row("status=403 shape=google", 502, "upstream_auth_error"),
    Row("status=404 shape=google", 404, "model_not_found"),
    Row("status=408", 503, "upstream_timeout", again=True),
    Row("status=409", 409, "conflict"),
    Row("refused_fields=max_tokens", 400),
    Row("status=413", 413, "request_too_large"),
    Row("status=429", 429, "rate_limit_exceeded", again=True),
    Row("status=429 shape=google_array", 429, "rate_limit_exceeded", again=True),
    Row("status=500", 503, "upstream_error", again=True),
    Row("status=502 shape=html", 503, "upstream_error", again=True),
    Row("html", 503, "upstream_error", again=True),
    Row("status=503 shape=google", 503, "overloaded", again=True),
    Row("status=504 shape=empty", 503, "upstream_timeout", again=True),
    Row("status=529 type=overloaded_error message=busy", 503, "overloaded", again=True),
    Row("status=500 shape=text", 503, "upstream_error", again=True),
    # connections that end before a reply
    Row("reset", 502, "upstream_broken", again=True),
    Row("close", 502, "upstream_broken", again=True),
    # silences
    Row("delay=5s", 504, "upstream_timeout"),
    Row("stall_after_event=0 stall=5s", 504, "upstream_timeout"),
    Row("stall_after_event=2 stall=5s", 504, "upstream_timeout", of="stream"),
    Row("stall_after_event=4 stall=5s", 200, "upstream_timeout", inside=True, of="stream"),
    Row("first_token_delay=5s", 504, "upstream_timeout", of="stream"),
    # replies that break
    Row("garbage", 502, "upstream_broken", again=True),
    Row("content_length_mismatch", 502, "upstream_broken", again=True, of="unary"),
    Row("truncate_after_byte=40", 502, "upstream_broken", again=True),
    *(Row(f"{how}_after_event={after}", 502, "upstream_broken", again=True)
      for how in ("reset", "close", "truncate") for after in (0, 2)),
    *(Row(f"{how}_after_event=5", 200, "upstream_broken", inside=True, of="stream")
      for how in ("reset", "close", "truncate")),
    Row("error_after_event=2", 503, "overloaded", again=True),
    Row("error_after_event=5", 200, "overloaded", inside=True, of="stream"),
    Row("error_after_event=5 type=api_error", 200, "upstream_error", inside=True, of="stream"),
    # unusual, but complete
    Row("chunk=7", None),
    Row("drip=1ms chunk=100", None),
    Row("crlf", None, of="stream"),
    Row("pings=3", None, of="stream"),
    Row("unknown_event", None, of="stream"),
    Row("unknown_block", None),
    Row("delay=50ms", None),
    Row("first_token_delay=50ms", None),
    Row("tokens_per_second=500", None),
    Row("redacted", None),
    Row("refused_betas=tomorrow-*", None),  # chat requests have none of them
]  # fmt: skip
#: Words that say when, how often or what is answered, and are no faults of their own.
NO_FAULTS: Final = {
    "times", "shape", "type", "message", "retry_after", "stall", "answer", "stop_reason", "category", "explanation",
    "bad_json", "empty",
}  # fmt: skip
CODES: Final = {400: openai.BadRequestError, 404: openai.NotFoundError, 409: openai.ConflictError,
                429: openai.RateLimitError}  # fmt: skip


def test_no_fault_is_forgotten() -> None:
    words = {word.partition("=")[0] for row in ROWS for word in row.words.split()} - {"html"}
    assert set(FaultSpec.__struct_fields__) == (words | NO_FAULTS)


pytestmark = pytest.mark.usefixtures("no_waiting")


def cases() -> list[object]:
    return [
        pytest.param(row, kind, retries, id=f"{row.words}-{kind}-{retries} retries")
        for row in ROWS
        for kind in KINDS
        for retries in (0, 2)
        if row.strikes(kind)
    ]


@pytest.mark.parametrize(("row", "kind", "retries"), cases())
async def test_a_permanent_fault(row: Row, kind: Kind, retries: int) -> None:
    before, files = asyncio.all_tasks(), open_files()
    status, again, inside = row.expected(kind)
    async with world(retries={"max": retries}) as here:
        seen = await here.ask(f"Hello [[emulator: {row.words}]]", kind)
        await here.settle()
        attempts = 1 + retries * again
        assert len(here.calls) == attempts, "what Vertex AI saw"
        assert all(("stream" in call["path"]) == (kind != "unary") for call in here.calls)
        if status is None:
            assert seen.error is None
            assert seen.finish == "stop"
            assert seen.text
        else:
            assert seen.error is not None, "a broken upstream looked like success"
            assert (seen.status, seen.error.code) == (status, row.code)
            assert isinstance(seen.error, CODES.get(status, openai.APIError))
            assert seen.finish is None
            assert bool(seen.pieces) == inside
        failed = status is not None
        assert here.counted("modelmux_requests_total") == 1
        assert here.counted("modelmux_requests_total", outcome="ok") == (not failed)
        assert here.counted("modelmux_upstream_attempts_total") == attempts
        assert here.gateway.metrics.retries == attempts - 1
        assert here.counted("modelmux_deployment_in_flight") == 0
        assert here.counted("modelmux_error_responses_total") == failed  # as a status, or inside the stream
        assert here.gateway._upstream.open <= 1  # type: ignore[attr-defined]
    assert await left_over(before) == set()
    await until(lambda: open_files() <= files)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [row for row in ROWS if row.again], ids=lambda row: row.words)
async def test_a_fault_that_passes_is_never_seen(row: Row, kind: Kind) -> None:
    if not row.strikes(kind):
        pytest.skip("strikes the other kind of reply only")
    before = asyncio.all_tasks()
    async with world() as here:
        seen = await here.ask(f"Hello [[emulator: times=1 {row.words}]]", kind)
        await here.settle()
        assert seen.error is None
        assert (seen.finish, len(here.calls)) == ("stop", 2)
        assert here.counted("modelmux_requests_total", outcome="ok") == 1
        assert here.gateway.metrics.retries == 1
        assert here.counted("modelmux_tokens_total", type="output") > 0
    assert await left_over(before) == set()


@pytest.mark.parametrize("row", [row for row in ROWS if row.again], ids=lambda row: row.words)
async def test_a_fault_of_one_deployment_is_cured_by_another(row: Row) -> None:
    kind: Kind = "unary" if row.of == "unary" else "stream"
    models = [{"name": "m", "model": "claude-sonnet-4-6", "locations": ["us-east5", "global"]}]
    async with world(vertex={"models": models}) as here:
        seen = await here.ask(f"Hello [[emulator: times=1 {row.words}]]", kind, model="m")
        await here.settle()
        assert seen.error is None
        assert [("us-east5" in call["path"], "global" in call["path"]) for call in here.calls] == [
            (True, False),
            (False, True),
        ]
