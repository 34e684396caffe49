"""An organisation that does not exist, for pictures of the dashboard: teams, keys, budgets, two weeks of requests.

All of it follows from a seed and the time. The requests are rows of the ledger with prices of the catalog; they never
ran.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.cost import TokenCounts
from modelmux.accounts.entry import AttemptEntry, Entry
from modelmux.accounts.priced_calls import PricedCall, cost_of_calls
from modelmux.accounts.slices import WindowKey
from modelmux.accounts.uuid7 import uuid7
from modelmux.accounts.windows import Every, WindowRule, window_at
from modelmux.catalog.prices import builtin_prices

SEED: Final = 42
DAYS: Final = 14
#: Requests of the busiest hour, and of one at night.
_BUSY, _QUIET = 80, 12
_SECOND: Final = 1_000_000
_HOUR: Final = 3_600 * _SECOND
#: Model -> its part of all requests.
MODELS: Final = {"claude-sonnet-5-5": 58, "claude-haiku-5-5": 24, "claude-opus-5-5": 15, "claude-sonnet-4-6": 3}
#: Outcome, status and code -> its part of all requests.
_OUTCOMES: Final = {
    ("ok", 200, None): 970, ("client_gone", 200, None): 12, ("upstream_error", 529, "overloaded"): 6,
    ("client_error", 429, "rate_limit_exceeded"): 8, ("client_error", 400, "invalid_request_error"): 4,
}  # fmt: skip


class Holder(Struct, frozen=True):
    """A key. :param share: of all requests. :param expires: days from now; None for never."""

    name: str
    team: str
    person: str | None
    app: str
    agent: str
    dialect: str
    share: int
    expires: int | None = None


TEAMS: Final = ("platform", "data", "support", "research")
PEOPLE: Final = ("ann@example.com", "bela@example.com", "chidi@example.com", "dana@example.com")
HOLDERS: Final = (
    Holder("ann-laptop", "platform", "ann@example.com", "claude-code", "claude-cli/2.1.4", "anthropic_messages", 30),
    Holder("bela-codex", "platform", "bela@example.com", "codex", "codex_cli_rs/0.66.0", "openai_responses", 18),
    Holder("nightly-reports", "data", None, "reports", "OpenAI/Python 2.9.0", "openai_chat", 22, 4),
    Holder("support-bot", "support", None, "chat", "OpenAI/JS 6.10.0", "openai_chat", 20),
    Holder("chidi-notebook", "research", "chidi@example.com", "notebook", "Anthropic/Python 0.75.0",
           "anthropic_messages", 7),
    Holder("ci", "platform", None, "ci", "claude-cli/2.1.4", "anthropic_messages", 3),
)  # fmt: skip


class Allowance(Struct, frozen=True):
    """A budget. :param used: what part of it is spent; the limit follows from that."""

    name: str
    every: Every
    used: float
    team: str | None = None
    key: str | None = None


ALLOWANCES: Final = (
    Allowance("data, a month", "month", 0.92, team="data"),
    Allowance("platform, a month", "month", 0.61, team="platform"),
    Allowance("support, a week", "week", 0.34, team="support"),
    Allowance("research, a month", "month", 0.18, team="research"),
    Allowance("nightly reports, a day", "day", 0.55, key="nightly-reports"),
)


class Ids(Struct):
    """What the records of the organisation are called in a gateway: name -> id."""

    teams: dict[str, str]
    people: dict[str, str]
    keys: dict[str, str]


def create(call: Callable[[str, str, dict[str, Any]], dict[str, Any]], now: int) -> Ids:
    """Create teams, people and keys. :param call: of the admin API: method, path and body -> the reply."""
    ids = Ids({}, {}, {})
    for name in TEAMS:
        ids.teams[name] = call("POST", "/teams", {"name": name})["id"]
    for email in PEOPLE:
        ids.people[email] = call("POST", "/people", {"email": email})["id"]
    for one in HOLDERS:
        body: dict[str, Any] = {"name": one.name, "team": ids.teams[one.team], "tags": {"app": one.app}}
        if one.person is not None:
            body["person"] = ids.people[one.person]
        if one.expires is not None:
            body["expires_at"] = _text(now + one.expires * 24 * _HOUR)
        ids.keys[one.name] = call("POST", "/keys", body)["id"]
    return ids


def requests(ids: Ids, now: int) -> list[Entry]:
    """The rows, the oldest first. :param now: microseconds in UTC."""
    chance = random.Random(SEED)  # noqa: S311 - a picture, not a secret
    this_hour = now - now % _HOUR
    rows = []
    for hour in range(DAYS * 24, -1, -1):
        begin = this_hour - hour * _HOUR
        until = min(_HOUR, now - begin)
        count = round(_rate(hour) * until / _HOUR * chance.uniform(0.8, 1.2))
        rows += [_request(chance, ids, begin + chance.randrange(max(1, until))) for _ in range(count)]
    return sorted(rows, key=lambda row: row.at)


def budgets(
    call: Callable[[str, str, dict[str, Any]], dict[str, Any]], ids: Ids, rows: list[Entry], now: int
) -> list[Entry]:
    """Create the budgets, each with a limit that its rows have spent a part of. :returns: the rows, charged to them."""
    debits: dict[bytes, list[tuple[WindowKey, int]]] = {}
    for one in ALLOWANCES:
        window = window_at(WindowRule(every=one.every), now, UTC)
        spent = {
            row.id: row.cost.total for row in rows if row.cost is not None and _counts(one, ids, row, window.start)
        }
        limit = max(1, round(sum(spent.values()) / one.used / 1e9))
        chosen = {"team": ids.teams[one.team]} if one.team else {"key": ids.keys[one.key or ""]}
        body = {"name": one.name, "applies_to": chosen, "limit": str(limit), "window": one.every}
        id = call("POST", "/budgets", body)["id"]
        for row, amount in spent.items():
            debits.setdefault(row, []).append((WindowKey(id, "", window.start), amount))
    return [row.charged(tuple(sorted(debits.get(row.id, ()))), 0) for row in rows]


def _counts(one: Allowance, ids: Ids, row: Entry, start: int) -> bool:
    is_its = row.key == ids.keys[one.key] if one.key else row.team == ids.teams[one.team or ""]
    return is_its and row.at >= start


def _rate(hours_ago: int) -> float:
    """Requests of an hour. Pictures always show a working day that is about to end, whenever they are taken."""
    return _BUSY * (1 - abs(hours_ago % 24 - 7) / 10) if hours_ago % 24 <= 13 else _QUIET


def _request(chance: random.Random, ids: Ids, at: int) -> Entry:
    holder = chance.choices(HOLDERS, [one.share for one in HOLDERS])[0]
    model = chance.choices(tuple(MODELS), tuple(MODELS.values()))[0]
    outcome, status, code = chance.choices(tuple(_OUTCOMES), tuple(_OUTCOMES.values()))[0]
    was_called, deployment = outcome != "client_error", f"{model}@global"
    counts = _tokens(chance, outcome) if was_called else TokenCounts()
    call = PricedCall(counts, model, "global", False)
    day = datetime.fromtimestamp(at / _SECOND, UTC).date()
    cost, price = cost_of_calls([call], day, builtin_prices()) or (None, None)
    result = AttemptEntry(deployment, "ok" if outcome == "ok" else code or outcome, counts, model, "global", price)
    retried = [AttemptEntry(deployment, "overloaded", None, model, "global")] if chance.random() < 0.02 else []
    first = round(chance.uniform(0.4, 1.4) * _SECOND)
    seconds = counts.output / 80 + first / _SECOND + 0.1
    id = uuid7(at, chance.randbytes(8))
    return Entry(
        id=id, at=at, key=ids.keys[holder.name], team=ids.teams[holder.team],
        person=None if holder.person is None else ids.people[holder.person], tags=(("app", holder.app),),
        dialect=holder.dialect, operation={"openai_responses": "responses", "openai_chat": "chat"}.get(
            holder.dialect, "messages"), requested=model, route=model, model=model if was_called else None,
        location="global" if was_called else None, deployment=deployment if was_called else None,
        attempts=(*retried, result) if was_called else (), outcome=outcome, status=status, code=code,
        stream=chance.random() < 0.8, counts=counts, cost=cost, price=price,
        duration=round(seconds * _SECOND), first_content=first if was_called else None,
        agent=holder.agent, upstream_id=f"msg_vrtx_01{chance.randbytes(9).hex()}" if was_called else None,
    )  # fmt: skip


def _tokens(chance: random.Random, outcome: str) -> TokenCounts:
    """Most of a prompt is read from the cache."""
    prompt, output = chance.randint(4_000, 90_000), chance.randint(60, 1_800)
    read = round(prompt * chance.uniform(0.5, 0.92))
    written = (prompt - read) // 2
    if outcome == "upstream_error":
        return TokenCounts()
    return TokenCounts(
        input=prompt - read - written, cache_read=read, cache_write=written, output=output, thinking=output // 3
    )  # fmt: skip


def _text(at: int) -> str:
    return datetime.fromtimestamp(at / _SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_batches(rows: list[Entry], size: int = 500) -> Iterator[list[Entry]]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
