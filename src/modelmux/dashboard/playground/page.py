"""The page of the playground, and its two actions: one answers with the page, the other streams to its script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from modelmux.accounts.fields import FieldError
from modelmux.accounts.views import time_text
from modelmux.config.keeps_traces import keeps_traces
from modelmux.dashboard.page import ROOT, Action, Data, Page, Shown, Streamed, Visit
from modelmux.dashboard.playground.apis import APIS
from modelmux.dashboard.playground.call import Event, ask
from modelmux.dashboard.playground.question import MAX_TEXT, MAX_TOKENS, Question, read_key, read_question
from modelmux.errors import GatewayError
from modelmux.store.base import StoreFailed

_TEMPLATE: Final = "playground.html"
_TITLE: Final = "Playground"
#: Characters of an answer that a page without scripts shows.
_MAX_ANSWER: Final = 1_000_000
#: Bytes of a form with as much text as may be sent: two fields, in which each character may be twelve (``%F0%9F…``).
_MAX_FORM: Final = 2 * 12 * MAX_TEXT + 10_000
#: Rows in which that of a request is looked for.
_ROWS: Final = "1000"
#: Microseconds around the arrival of a request in which its row is looked for.
_BEFORE, _AFTER = 500_000, 3_000_000
#: Names of events -> templates of their HTML. Those of text are sent as they are.
_PARTS: Final = {
    name: f"playground_{name}.html" for name in ("sent", "start", "error", "end", "charged")
}  # fmt: skip


async def build(visit: Visit) -> Data:
    return {
        "models": visit.site.playground.models(),
        "apis": [{"name": one.name, "title": one.title, "path": one.path} for one in APIS.values()],
        "max_text": MAX_TEXT,
        "max_tokens": MAX_TOKENS,
        "has_accounts": visit.has_accounts,
        "result": None,
        "form": {},
    }


async def answer(visit: Visit) -> Shown:
    """For a form without a script: the page with all of it. The key is not on it."""
    result: Data = {"text": "", "thinking": ""}
    async with aclosing(await _events(visit)) as events:
        try:
            async for name, data in events:
                if name not in ("text", "thinking"):
                    result[name] = data
                    continue
                result[name] += data["text"]
                if len(result["text"]) + len(result["thinking"]) > _MAX_ANSWER:
                    break
        except (GatewayError, StoreFailed) as error:
            if "end" not in result:
                raise
            visit.dispatcher.failure(error, result["start"]["start"]["request_id"])  # its row; the answer is here
    shown = {name: value for name, value in visit.form.items() if name != "key"}
    return Shown(_TEMPLATE, _TITLE, await build(visit) | {"result": result, "form": shown})


async def stream(visit: Visit) -> Streamed:
    return Streamed(await _events(visit), _PARTS)


async def _events(visit: Visit) -> AsyncGenerator[Event, None]:
    """:raises FieldError:"""
    question, key = read_question(visit.form, APIS), read_key(visit.form)
    if visit.form.get("do") == "show":
        return _run(visit, question, None)
    if not visit.caller.principal.sees_all and not (key and await _asks_for_keys(visit)):
        # The gateway may ask programs of this machine for none, and the request comes from it: the visitor may not.
        raise FieldError("key", "there is none", "paste the secret of a key of yours")
    return _run(visit, question, key)


async def _asks_for_keys(visit: Visit) -> bool:
    """Whether there is a key at all: without any, a gateway of this machine may let anything pass as one."""
    directory = await visit.dispatcher.read()
    return bool(directory.keys or visit.dispatcher.backend.config.server.api_keys)


async def _run(visit: Visit, question: Question, key: str | None) -> AsyncGenerator[Event, None]:
    """:param key: None to show what would be sent, and send nothing."""
    gateway, backend = visit.site.playground, visit.dispatcher.backend
    yield "sent", {"sent": gateway.sent(question)}
    if key is None:
        return
    request_id, now, status = backend.ids.id("req_"), visit.now, None
    async with aclosing(ask(gateway, question, key, request_id, backend.clock)) as events:
        async for name, data in events:
            status = data["status"] if name == "start" else status
            yield name, data if name in ("text", "thinking") else {name: data}
    if not visit.has_accounts:
        if visit.may("traces.read") and keeps_traces(backend.config):
            yield "charged", {"charged": None, "record": request_id}
    elif status not in (None, 401):  # such a request is charged to no key, and has no row
        yield "charged", {"charged": await _charged(visit, request_id, now), "record": None}


async def _charged(visit: Visit, request_id: str, now: int) -> dict[str, Any] | None:
    """The row of a request; None if there is none, or if the visitor may not see it: the key may be of another."""
    if not visit.may("requests.read"):
        return None
    period = {"start": time_text(now - _BEFORE) or "", "end": time_text(now + _AFTER) or ""}
    for seconds in visit.site.playground.looks:
        await asyncio.sleep(seconds)
        page = await visit.read("/requests", limit=_ROWS, **period)
        for row in page["data"]:
            if row["client_request_id"] == request_id:
                return {"id": row["id"], "cost": row["cost"], "key": row["key_name"] or row["key"]}
    return None


PLAYGROUND: Final = Page(f"{ROOT}/playground", _TEMPLATE, _TITLE, "self.read", build, nav="Playground")
ACTIONS: Final = (
    Action(f"{ROOT}/playground", "self.read", answer, PLAYGROUND, waits=True, max_body=_MAX_FORM),
    Action(f"{ROOT}/playground/stream", "self.read", stream, PLAYGROUND, max_body=_MAX_FORM),
)
