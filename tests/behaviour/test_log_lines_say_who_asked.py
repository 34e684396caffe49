"""Risk: a line of the log cannot be traced to the key, team, person and trace that it is of."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from modelmux.accounts.budget_edits import save_budget
from modelmux.accounts.budgets import Budget, Selector
from modelmux.accounts.edits import save_key, save_person, save_team
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.windows import WindowRule
from modelmux.catalog.prices import usd
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.open_ledger import open_ledger
from support.cli import run
from support.clock import NOW
from support.fakes import message_reply
from support.gateway import MODEL, PATH, ask
from support.security import BEARER, Guarded, Pairs, guarded, send

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
#: What a line has with accounts alone.
OF_ACCOUNTS = {"key_name", "tags", "cost_usd", "hold_usd", "priced"}
PARENT = (b"traceparent", f"00-{TRACE}-00f067aa0ba902b7-01".encode())


async def line_of(subject: Guarded, headers: Pairs) -> dict[str, Any]:
    assert (await send(subject.app, "POST", PATH, headers, json.dumps(ask()).encode())).status == 200
    await subject.app.aclose()
    (line,) = [line for line in subject.events if line["event"] == "request"]
    return line


async def test_a_key_of_the_configuration_has_its_number() -> None:
    line = await line_of(guarded(message_reply()), BEARER)
    assert line["key"] == "static_1"
    assert not {"team", "person", "trace_id"} & set(line)
    assert not OF_ACCOUNTS & set(line)


async def test_without_keys_the_trace_alone_is_there() -> None:
    line = await line_of(guarded(message_reply(), server={"api_keys": []}), [PARENT])
    assert line["trace_id"] == TRACE
    assert not {"key", "team", "person"} & set(line)


async def test_a_virtual_key_comes_with_its_team_and_person_and_the_row_has_the_trace(tmp_path: Path) -> None:
    subject = guarded(message_reply(), accounts={"enabled": True, "store": f"sqlite:{tmp_path}/accounts.db"})
    config = subject.app._current.config
    store, author = open_directory(config), Author("test", "cli")
    text, secret = Issuer(read_peppers(config), lambda: NOW).secret("key_a")
    await store.change(lambda d: save_team(d, Team(id="team_a", name="Data")), author, int(NOW * 1e6))
    await store.change(lambda d: save_team(d, Team(id="team_b", name="Ml", parent="team_a")), author, int(NOW * 1e6))
    await store.change(lambda d: save_person(d, Person(id="usr_a", email="ann@example.com")), author, int(NOW * 1e6))
    key = Key(id="key_a", name="laptop", team="team_b", person="usr_a", tags=(("env", "prod"),))
    await store.change(lambda d: save_key(d, key, secret), author, int(NOW * 1e6))
    budget = Budget(
        id="bud_a", name="b", applies_to=Selector(team="team_a"), limit=5 * 10**9, window=WindowRule(every="month")
    )
    await store.change(lambda d: save_budget(d, budget), author, int(NOW * 1e6))
    await store.aclose()
    await subject.app.directory.refresh()  # type: ignore[union-attr]

    tags = (b"x-modelmux-tags", b"app=chat")
    line = await line_of(subject, [(b"authorization", f"Bearer {text}".encode()), PARENT, tags])
    assert {name: line.get(name) for name in ("key", "team", "person", "trace_id")} == {
        "key": "key_a", "team": "team_a/team_b", "person": "usr_a", "trace_id": TRACE,
    }  # fmt: skip
    assert "ann@example.com" not in subject.out.getvalue()
    ledger = open_ledger(config, {})
    (entry,) = (await ledger.entries(EntryQuery())).entries
    await ledger.aclose()
    assert (entry.trace_id, entry.key) == (TRACE, "key_a")
    assert entry.cost is not None
    assert {name: line[name] for name in ("key_name", "tags", "cost_usd", "priced")} == {
        "key_name": "laptop", "tags": "app=chat,env=prod", "cost_usd": usd(entry.cost.total), "priced": entry.price,
    }  # fmt: skip
    assert Decimal(line["hold_usd"]) > Decimal(line["cost_usd"]) > 0, "the worst case was held"

    # `modelmux logs` knows the names, and shows what the row costs.
    (tmp_path / "config.toml").write_text(f'[accounts]\nenabled = true\nstore = "sqlite:{tmp_path}/accounts.db"\n')
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "modelmux-2026-11-23.log").write_text(subject.out.getvalue())

    def shown(*filters: str) -> str:
        options = ("--config", f"{tmp_path}/config.toml", "--set", f"logs.directory={tmp_path}/logs")
        result = run("logs", *options, *filters, home=tmp_path)
        assert result.code == 0, result.stderr
        return result.stdout

    for filters in (("--key", "laptop"), ("--key", "key_a"), ("--team", "Data"), ("--team", "Ml"), ("--model", MODEL)):
        assert line["request_id"] in shown(*filters), filters
    for filters in (("--key", "other"), ("--team", "team"), ("--failed",), ("--min-cost", "1")):
        assert shown(*filters) == "", filters
    assert f"${entry.cost.total / 1e9:.6f}" in shown("--min-cost", "0.00001")
