"""Risk: metrics show other money than the ledger, refusals without a reason, a store that fails as a good one, or a
label for each key, person, tag and model that somebody makes up.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import save_key, save_team
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import Key, Team
from modelmux.accounts.windows import WindowRule
from modelmux.dialects.base import Caller
from modelmux.errors import ModelNotFound
from modelmux.store.base import StoreFailed
from modelmux.telemetry.metrics import Metrics
from modelmux.telemetry.observers import MetricsObserver
from modelmux.telemetry.records import ExchangeRecord
from modelmux.telemetry.team_labels import TeamLabels
from support.asgi import request
from support.clock import NOW
from support.fakes import message_reply, stream_reply, text_events
from support.gateway import MODEL, PATH, ask
from support.limited import LimitedGateway, Make

#: 7 tokens of input at 3 USD a million, 3 of output at 15.
COST = 7 * 3e-6 + 3 * 15e-6
TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRETS = ("canary-key", "canary-model", "canary-tag", "canary-user", "canary-prompt", "ann@example.com")


@pytest.fixture
async def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    made = []

    def new(reply: Any = message_reply, **settings: Any) -> LimitedGateway:
        made.append(LimitedGateway(tmp_path, monkeypatch, reply, **settings))
        return made[-1]

    yield new
    for one in made:
        await one.end()


def samples(world: LimitedGateway) -> dict[str, dict[tuple[str, ...], float]]:
    """Name -> values of labels, in their order by name -> number."""
    shown: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(world.app.metrics.expose(open_metrics=True).decode()):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            shown.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return shown


def series(world: LimitedGateway) -> set[str]:
    return {line.rpartition(" ")[0] for line in world.app.metrics.expose().decode().splitlines()}


@asynccontextmanager
async def written(world: LimitedGateway) -> AsyncIterator[None]:
    yield
    writer = world.app.metering.writer
    assert writer is not None
    await writer.exchange()


async def test_cost_and_tokens_are_those_of_the_team(make: Make) -> None:
    world = make()
    await world.begin()
    async with written(world):
        for _ in range(3):
            assert (await world.ask()).status == 200
    shown = samples(world)
    assert shown["modelmux_cost_usd_total"] == {(MODEL, MODEL, "data"): pytest.approx(3 * COST)}
    assert shown["modelmux_tokens_by_team_total"] == {("data", "input"): 21, ("data", "output"): 9}
    assert shown["modelmux_ledger_rows_total"] == {(): 3}
    assert shown["modelmux_ledger_errors_total"] == shown["modelmux_ledger_lag_seconds"] == {(): 0}
    assert shown["modelmux_store_up"] == {(): 1}
    assert shown["modelmux_journal_slots_used"] == {(): 0}
    assert 0 <= shown["modelmux_price_age_days"][()] < 10_000


async def test_a_model_without_a_price_costs_nothing_and_is_named(make: Make) -> None:
    world = make(catalog=[{"id": "claude-next", "context": 1000, "max_output": 100}])
    await world.begin()
    async with written(world):
        assert (await world.ask(model="claude-next")).status == 200
    shown = samples(world)
    assert shown["modelmux_price_missing_total"] == {("claude-next",): 1}
    assert "modelmux_cost_usd_total" not in shown


async def test_refusals_have_a_reason_and_a_team(make: Make) -> None:
    from modelmux.accounts.rates import Rates

    world = make()
    await world.begin(key=Rates(rpm=1))
    budget = Budget(id="bud_a", name="b", limit=1, window=WindowRule(every="month"), applies_to=Selector(key="key_b"))
    await world.change(lambda d: save_budget(d, budget))
    statuses = [(await world.ask()).status, (await world.ask()).status, (await world.ask("b")).status]
    statuses.append((await request(world.app, "POST", PATH, ask(), {"authorization": "Bearer wrong"})).status)
    statuses.append((await world.ask("b", model="nonsense")).status)
    assert statuses == [200, 429, 429, 401, 404]
    assert samples(world)["modelmux_refusals_total"] == {
        ("rpm", "data"): 1, ("budget", "data"): 1, ("key", "none"): 1, ("model", "data"): 1,
    }  # fmt: skip


async def test_a_budget_with_metric_shows_its_window(make: Make) -> None:
    world = make()
    await world.begin()
    for id, shows in (("bud_a", True), ("bud_b", False)):
        budget = Budget(id=id, name=f"budget {id}", limit=2 * 10**9, window=WindowRule(every="month"), metric=shows)
        await world.change(lambda d, budget=budget: save_budget(d, budget))  # type: ignore[misc]
    async with written(world):
        assert (await world.ask()).status == 200
    await world.app.metering._budget_metrics.read()  # type: ignore[union-attr]
    shown = samples(world)
    assert shown["modelmux_budget_limit_usd"] == {("budget bud_a",): 2}
    assert shown["modelmux_budget_spent_usd"] == {("budget bud_a",): pytest.approx(COST)}
    assert shown["modelmux_budget_held_usd"].keys() == {("budget bud_a",)}
    assert NOW < shown["modelmux_budget_resets_at_seconds"]["budget bud_a",] < NOW + 31 * 86_400


async def test_who_waits_for_a_budget_is_counted(make: Make) -> None:
    """The first request finds nothing leased; what is refused has waited, too."""
    world = make()
    await world.begin()
    assert (await world.ask()).status == 200
    assert "modelmux_lease_short_total" not in samples(world)
    budget = Budget(id="bud_a", name="b", limit=100 * 10**9, window=WindowRule(every="month"))
    await world.change(lambda d: save_budget(d, budget))
    assert (await world.ask()).status == 200
    shown = samples(world)
    assert shown["modelmux_lease_short_total"] == shown["modelmux_recall_seconds_count"] == {("sqlite",): 1}
    assert shown["modelmux_exchange_seconds_count"]["sqlite",] >= 1
    selector = Selector(key="key_b")
    none_left = Budget(id="bud_b", name="none", limit=1, window=WindowRule(every="month"), applies_to=selector)
    await world.change(lambda d: save_budget(d, none_left))
    assert (await world.ask("b")).status == 429
    assert samples(world)["modelmux_recall_seconds_count"]["sqlite",] >= 2


async def test_a_cache_that_is_written_and_never_read_is_seen(make: Make) -> None:
    usage = {"input_tokens": 7, "output_tokens": 3, "cache_creation_input_tokens": 2_000}
    world = make(lambda: message_reply(usage=usage))
    await world.begin()
    for _ in range(3):
        assert (await world.ask()).status == 200
    assert samples(world)["modelmux_cache_write_unread_total"] == {(MODEL,): 4_000}
    assert (await world.ask("b")).status == 200
    assert samples(world)["modelmux_cache_write_unread_total"] == {(MODEL,): 4_000}, "another caller"


@pytest.mark.parametrize("fields", [{"unit": "tokens"}, {"applies_to": Selector(each="person")}])
async def test_a_budget_with_many_windows_or_another_unit_has_no_metric(make: Make, fields: dict[str, Any]) -> None:
    world = make()
    budget = Budget(id="bud_a", name="b", limit=5, window=WindowRule(every="month"), metric=True, **fields)
    with pytest.raises(FieldError, match="metrics show a budget in USD"):
        await world.change(lambda d: save_budget(d, budget))


async def test_a_store_that_fails_is_down_and_its_rows_lag(make: Make) -> None:
    world = make()
    await world.begin()
    writer = world.app.metering.writer
    assert writer is not None

    async def fail(*_: Any) -> None:
        raise StoreFailed("disk full")

    writer._write, write = fail, writer._write
    assert (await world.ask()).status == 200
    with pytest.raises(StoreFailed):
        await writer.exchange()
    writer._failing = True  # as its own loop says after that
    world.clock.advance(90)
    shown = samples(world)
    assert shown["modelmux_store_up"] == {(): 0}
    assert shown["modelmux_ledger_lag_seconds"] == {(): pytest.approx(90, abs=1)}
    assert shown["modelmux_ledger_rows_waiting"] == shown["modelmux_journal_slots_used"] == {(): 1}
    assert shown["modelmux_ledger_errors_total"][()] >= 1
    writer._write = write


async def test_times_of_streams_and_the_gateways_own_time(make: Make) -> None:
    world = make(lambda: stream_reply(*text_events("Hello", " you", " there")))
    await world.begin()
    assert (await world.ask(stream=True)).status == 200
    shown = samples(world)
    for name in ("modelmux_time_per_output_token_seconds_count", "modelmux_overhead_seconds_count"):
        assert shown[name] == {(MODEL,): 1}


async def test_a_trace_that_is_kept_is_the_exemplar_of_its_duration(make: Make) -> None:
    world = make()
    await world.begin()
    for flags in ("00", "01"):
        parent = f"00-{flags}{TRACE[2:]}-00f067aa0ba902b7-{flags}"
        assert (await world.ask(headers={"traceparent": parent})).status == 200
    text = world.app.metrics.expose(open_metrics=True).decode()
    assert re.findall(r'# \{trace_id="(\w+)"\}', text) == [f"01{TRACE[2:]}"]


async def test_a_tag_with_listed_values_is_a_label_and_nothing_else_of_it(make: Make) -> None:
    """A hundred values that clients make up share one label; a tag of another name has none."""
    world = make(metrics={"tag": "app", "tag_values": ["chat", "batch"]})
    await world.begin()
    async with written(world):
        for sent in ("app=chat,env=prod", "app=canary-a", "env=prod", *(f"app=canary-tag-{n}" for n in range(100))):
            assert (await world.ask(headers={"x-modelmux-tags": sent})).status == 200
        assert (await world.ask(metadata={"app": "batch"})).status == 200
        assert (await world.ask("b", model="nonsense", headers={"x-modelmux-tags": "app=chat"})).status == 404
    shown = samples(world)
    assert shown["modelmux_requests_by_tag_total"] == {
        ("ok", "chat"): 1, ("ok", "batch"): 1, ("ok", "none"): 1, ("ok", "_other"): 101, ("client_error", "chat"): 1,
    }  # fmt: skip
    assert shown["modelmux_tokens_by_tag_total"]["chat", "input"] == 7
    cost = shown["modelmux_cost_by_tag_usd_total"]
    assert cost.keys() == {("chat",), ("batch",), ("none",), ("_other",)}
    assert cost["chat",] == pytest.approx(COST)
    assert sum(cost.values()) == pytest.approx(sum(shown["modelmux_cost_usd_total"].values()))
    assert "canary" not in world.app.metrics.expose(open_metrics=True).decode()


async def test_clients_teams_and_tags_make_no_series(make: Make) -> None:
    world = make(metrics={"max_teams": 3})
    await world.begin()
    async with written(world):
        await world.ask()
    for number in range(6):
        await world.change(lambda d, n=number: save_team(d, Team(id=f"team_{n}", name=f"t{n}")))  # type: ignore[misc]
        text, secret = world.issuer.secret(f"key_{number}")
        record = Key(id=f"key_{number}", name=f"canary-key-{number}", team=f"team_{number}")
        await world.change(lambda d, record=record, secret=secret: save_key(d, record, secret))  # type: ignore[misc]
        world.headers[str(number)] = {"authorization": f"Bearer {text}"}

    async def everything(numbers: Iterator[int]) -> None:
        async with written(world):
            for number in numbers:
                marked = {"x-modelmux-tags": f"app=canary-tag-{number}", "user-agent": f"canary-agent-{number}"}
                key = world.headers[str(number % 6)]
                body = ask(f"canary-prompt-{number}", user=f"canary-user-{number}")
                await request(world.app, "POST", PATH, body, key | marked)
                await request(world.app, "POST", PATH, body | {"model": f"canary-model-{number}"}, key | marked)
                wrong = {"authorization": f"Bearer sk-mmx-canary-key-{number}"}
                await request(world.app, "POST", PATH, body, wrong | marked)

    await everything(iter(range(12)))
    before = series(world)
    await everything(iter(range(12, 1000)))
    assert series(world) == before
    teams = {labels[2] for labels in samples(world)["modelmux_cost_usd_total"]}
    assert teams == {"data", "t0", "t1", "t2", "_other"}, "the first was that of the only team then"
    text = world.app.metrics.expose(open_metrics=True).decode()
    assert not [secret for secret in SECRETS if secret in text]


def test_a_hundred_thousand_names_that_clients_make_up_are_no_series() -> None:
    metrics = Metrics()
    metrics.teams = TeamLabels(lambda: Directory(), 200)
    observer, random = MetricsObserver(metrics), Random(1)

    def settle(count: int) -> set[str]:
        for _ in range(count):
            name = f"canary-{random.getrandbits(64):x}"
            error = ModelNotFound(name)
            error.key = error.model = name
            record = ExchangeRecord(
                name, "openai_chat", "generate", None, [], False, "client_error", 404, error, None, 0.1, None, 1, 1, [],
                requested_model=name, caller=Caller(name, True, name, f"{name}/{name}"), metadata={name: name},
            )  # fmt: skip
            observer.started()
            observer.settled(record)
            metrics.count_error(error)
        return {line.rpartition(" ")[0] for line in metrics.expose(open_metrics=True).decode().splitlines()}

    before = settle(1)
    assert settle(100_000) == before
    assert not any("canary" in line for line in before)
