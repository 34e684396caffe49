"""Risk: a request is routed against order, weight, alias or geography, or a retirement comes as a surprise."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from typing import Any

import pytest

from modelmux.app import Gateway
from modelmux.catalog import builtin
from modelmux.config import Config
from support.asgi import Response, request
from support.clock import current_runtime, use_runtime
from support.fakes import FakeTokens, FakeUpstream, error_reply, message_reply, stream_reply, text_events
from support.gateway import PATH, ask, gateway
from support.log_lines import Lines

SPREAD = [
    {"location": "eu", "weight": 3},
    {"location": "us", "weight": 1},
    {"location": "global", "order": 1},
]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
RETIRED = {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-sonnet-4-5@20250929"}}


pytestmark = pytest.mark.usefixtures("no_waiting")


def spread(*replies: Any) -> tuple[Gateway, FakeUpstream]:
    upstream = FakeUpstream(replies)
    model = {"name": "fast", "model": "claude-opus-4-8", "deployments": SPREAD}
    return gateway(upstream, vertex={"models": [model]}), upstream


async def call(app: Gateway, model: str, **fields: Any) -> Response:
    return await request(app, "POST", PATH, {**ask(**fields), "model": model})


def at(monkeypatch: pytest.MonkeyPatch, *when: int) -> list[float]:
    clock = [datetime(*when, tzinfo=UTC).timestamp()]  # type: ignore[misc, arg-type]
    use_runtime(monkeypatch, now=lambda: clock[0])
    return clock


async def test_requests_are_shared_by_weight_within_the_first_order() -> None:
    """Conversations are: each stays where it began."""
    app, _ = spread(*(message_reply() for _ in range(800)))
    went = [
        {(await call(app, "fast", text=f"Question {n}")).headers["x-modelmux-deployment"] for _ in range(2)}
        for n in range(400)
    ]
    assert all(len(used) == 1 for used in went)
    went = [deployment for used in went for deployment in used]
    assert set(went) == {"fast@eu", "fast@us"}
    assert 240 < went.count("fast@eu") < 360  # 300 on average; beyond six standard deviations


async def test_the_next_order_comes_when_all_of_the_first_have_failed() -> None:
    for _ in range(20):
        app, upstream = spread(error_reply(529, OVERLOADED), error_reply(529, OVERLOADED), message_reply())
        response = await call(app, "fast")
        assert (response.status, response.headers["x-modelmux-deployment"]) == (200, "fast@global")
        hosts = [call.origin.host for call in upstream.calls]
        assert set(hosts[:2]) == {"aiplatform.eu.rep.googleapis.com", "aiplatform.us.rep.googleapis.com"}
        assert hosts[2] == "aiplatform.googleapis.com"


async def test_the_requested_name_is_echoed() -> None:
    upstream = FakeUpstream([message_reply(), message_reply()])
    app = gateway(upstream, aliases={"gpt-4o": "claude-opus-4-8"})
    for name in ("GPT-4o", "gpt-4o"):
        response = await call(app, name)
        assert (response.json()["model"], response.headers["x-modelmux-model"]) == (name, "claude-opus-4-8")


async def test_a_running_process_changes_to_the_successor_at_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = at(monkeypatch, 2026, 11, 30, 23, 59, 59)
    succession = {"model": "claude-opus-4-8", "successor": "claude-opus-5", "from": date(2026, 12, 1)}
    app = gateway(FakeUpstream([message_reply() for _ in range(2)]), aliases={"chat": succession})
    before = await call(app, "chat")
    clock[0] += 1
    after = await call(app, "chat")
    assert [r.headers["x-modelmux-model"] for r in (before, after)] == ["claude-opus-4-8", "claude-opus-5"]
    listed = (await request(app, "GET", "/v1/models/chat")).json()
    assert listed["created"] == datetime(2026, 7, 24, tzinfo=UTC).timestamp()


async def test_every_response_of_a_retiring_model_has_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 2026, 11, 29)
    upstream = FakeUpstream([message_reply(), stream_reply(*text_events("Hi")), message_reply()])
    app = gateway(upstream)
    warning = "claude-sonnet-4-5@20250929 may be retired from 2026-11-30 on, in 1 day; move to claude-sonnet-5-5"
    for fields in ({}, {"stream": True}):
        headers = (await call(app, "claude-sonnet-4-5", **fields)).headers
        assert headers["x-modelmux-warning"] == warning
        assert headers["deprecation"] == f"@{int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())}"
        assert headers["sunset"] == "Mon, 30 Nov 2026 00:00:00 GMT"
    headers = (await call(app, "claude-opus-4-8")).headers
    assert not {"x-modelmux-warning", "deprecation", "sunset"} & headers.keys()


async def test_an_overdue_model_is_called_and_a_new_one_is_not_deprecated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at(monkeypatch, 2027, 6, 1)
    app = gateway(FakeUpstream([message_reply()]))
    response = await call(app, "claude-sonnet-4-5")
    assert (response.status, response.headers["sunset"]) == (200, "Mon, 30 Nov 2026 00:00:00 GMT")
    at(monkeypatch, 2026, 5, 1)
    headers = (await call(gateway(FakeUpstream([message_reply()])), "claude-opus-5")).headers
    assert "is released on 2026-07-24" in headers["x-modelmux-warning"]
    assert not {"deprecation", "sunset"} & headers.keys()


async def test_a_retired_model_is_not_served_from_the_catalog_and_the_error_names_its_successor() -> None:
    upstream = FakeUpstream([])
    app = gateway(upstream)
    for name, successor in (("claude-opus-4", "claude-opus-5-5"), ("claude-3-7-sonnet-20250219", "claude-sonnet-5-5")):
        response = await call(app, name)
        assert (response.status, response.json()["error"]["code"]) == (404, "model_not_found")
        assert f"move to {successor}." in response.json()["error"]["message"]
        assert "was retired on 2026-" in response.json()["error"]["message"]
    listed = [model["id"] for model in (await request(app, "GET", "/v1/models")).json()["data"]]
    assert not {"claude-opus-4", "claude-sonnet-4", "claude-3-5-haiku"} & set(listed)
    assert "claude-opus-4-1" in listed
    assert upstream.calls == []


CONFIGURED: list[dict[str, Any]] = [
    {"vertex": {"models": [{"name": "chat", "model": "claude-opus-4"}]}},
    {"aliases": {"chat": "claude-opus-4"}},
    {"vertex": {"models": [{"name": "chat", "model": "claude-opus-4-8", "fallbacks": ["claude-opus-4"]}]}},
]


@pytest.mark.parametrize("settings", CONFIGURED)
async def test_a_retired_model_that_is_configured_is_called_and_its_404_names_the_successor(
    settings: dict[str, Any],
) -> None:
    replies = [message_reply(), error_reply(404, RETIRED)]
    if "fallbacks" in str(settings):
        replies = [reply for final in replies for reply in (error_reply(529, OVERLOADED), final)]
    app = gateway(FakeUpstream(replies), **copy.deepcopy(settings))
    response = await call(app, "chat")
    assert (response.status, response.headers["x-modelmux-model"]) == (200, "claude-opus-4@20250514")
    assert response.headers["x-modelmux-warning"] == (
        "claude-opus-4@20250514 was retired on 2026-09-14; move to claude-opus-5-5"
    )
    assert response.headers["sunset"] == "Mon, 14 Sep 2026 00:00:00 GMT"
    message = (await call(app, "chat")).json()["error"]["message"]
    if "fallbacks" not in str(settings):
        assert "was retired on 2026-09-14; move to claude-opus-5-5." in message


async def test_a_404_of_opus_4_1_names_its_successor_although_no_day_is_known() -> None:
    error = (await call(gateway(FakeUpstream([error_reply(404, RETIRED)])), "claude-opus-4-1")).json()["error"]
    assert "claude-opus-4-1@20250805 may have been retired; move to claude-opus-5-5." in error["message"]


async def test_a_404_of_a_retired_model_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 2026, 11, 30)
    app = gateway(FakeUpstream([error_reply(404, RETIRED), error_reply(404, RETIRED)]))
    message = (await call(app, "claude-sonnet-4-5")).json()["error"]["message"]
    assert (
        "claude-sonnet-4-5@20250929 may be retired already (from 2026-11-30 on); move to claude-sonnet-5-5." in message
    )
    assert "may be retired" not in (await call(app, "claude-opus-5-5")).json()["error"]["message"]


async def test_retirements_are_logged_at_start_and_at_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 2026, 11, 29)
    vertex, log = {"project": "p", "location": "global"}, Lines()
    old = {"name": "old", "model": "claude-sonnet-4-5", "locations": ["eu", "us", "global"], "aliases": ["older"]}
    config = Config.from_dict({"vertex": {**vertex, "models": [old, {"name": "new", "model": "claude-opus-5-5"}]}})
    app = Gateway(config, log=log, upstream=FakeUpstream([]), tokens=FakeTokens(), runtime=current_runtime())
    message = "claude-sonnet-4-5@20250929 may be retired from 2026-11-30 on, in 1 day; move to claude-sonnet-5-5"
    warning = ("config", {"route": "old", "message": message})
    assert log.warnings == [warning]
    await app.reload(config)
    assert log.warnings == [warning, warning]
    await app.aclose()
    quiet = Lines()
    await Gateway(
        Config.from_dict({"vertex": vertex}), log=quiet, upstream=FakeUpstream([]), tokens=FakeTokens(),
        runtime=current_runtime(),
    ).aclose()  # fmt: skip
    assert quiet.warnings == [], "models that the operator did not choose cause no warning"


async def test_no_call_leaves_its_geography_whatever_fails() -> None:
    replies = [error_reply(529, OVERLOADED) for _ in range(4 * len(builtin().cards))]
    upstream = FakeUpstream(replies)
    fenced = {"name": "own", "model": "claude-tomorrow", "locations": ["eu", "europe-west1", "europe-west4"]}
    app = gateway(
        upstream,
        vertex={"location": "eu", "geography": "eu", "models": [fenced], "default_for_unknown_models": True,
                "model": "claude-opus-5"},
        aliases={"chat": "own"}, retries={"max": 3},
    )  # fmt: skip

    for name in ("own", "chat", "claude-opus-5", "claude-opus-4-8", "nobody-knows", "claude-haiku-4-5"):
        assert (await call(app, name)).status in (429, 503, 529)
    hosts = {call.origin.host for call in upstream.calls}
    assert hosts == {
        "aiplatform.eu.rep.googleapis.com", "europe-west1-aiplatform.googleapis.com",
        "europe-west4-aiplatform.googleapis.com",
    }  # fmt: skip
    assert all("/locations/eu" in call.target for call in upstream.calls)


async def test_an_unknown_name_is_answered_with_the_nearest_alias() -> None:
    app = gateway(FakeUpstream([]), aliases={"gw-sonnet": "claude-sonnet-5"})
    error = (await call(app, "gw-sonet")).json()["error"]
    assert (error["code"], error["param"]) == ("model_not_found", "model")
    assert error["message"].endswith("Did you mean 'gw-sonnet'?")
