"""Risk: a line of the log cannot be traced to the key, team, person and trace that it is of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelmux.accounts.edits import save_key, save_person, save_team
from modelmux.accounts.records import Key, Person, Team
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import open_directory, read_peppers
from modelmux.store.ledger.base import EntryQuery
from modelmux.store.ledger.open_ledger import open_ledger
from support.clock import NOW
from support.fakes import message_reply
from support.gateway import PATH, ask
from support.security import BEARER, Guarded, Pairs, guarded, send

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
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
    key = Key(id="key_a", name="laptop", team="team_b", person="usr_a")
    await store.change(lambda d: save_key(d, key, secret), author, int(NOW * 1e6))
    await store.aclose()
    await subject.app.directory.refresh()  # type: ignore[union-attr]

    line = await line_of(subject, [(b"authorization", f"Bearer {text}".encode()), PARENT])
    assert {name: line.get(name) for name in ("key", "team", "person", "trace_id")} == {
        "key": "key_a", "team": "team_a/team_b", "person": "usr_a", "trace_id": TRACE,
    }  # fmt: skip
    assert "ann@example.com" not in subject.out.getvalue()
    ledger = open_ledger(config, {})
    (entry,) = (await ledger.entries(EntryQuery())).entries
    await ledger.aclose()
    assert (entry.trace_id, entry.key) == (TRACE, "key_a")
