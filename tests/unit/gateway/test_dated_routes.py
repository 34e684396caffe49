"""The calendar: a process that runs on switches at midnight UTC, once, and asks nobody."""

from __future__ import annotations

from datetime import UTC, date, datetime

from msgspec.structs import replace

from modelmux.catalog import Catalog, builtin
from modelmux.gateway.dated_routes import RoutesToday
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes

OLD, NEW = builtin().card("claude-opus-4-8"), builtin().card("claude-opus-5")
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def routes() -> Routes:
    made = [Route(card.id, (Deployment(card.id, "u", "p", "eu", card),)) for card in (OLD, NEW)]
    alias = Alias("chat", OLD.id, NEW.id, date(2026, 12, 1))
    return Routes(made, catalog=Catalog([OLD, NEW]), aliases=[alias])


def test_a_successor_takes_over_at_midnight_utc_and_not_before() -> None:
    clock = [MIDNIGHT - 1]
    today = RoutesToday(routes(), lambda: clock[0])
    assert (today.find("chat").name, today.day) == (OLD.id, date(2026, 11, 30))
    before = today.current
    clock[0] = MIDNIGHT - 0.001
    assert today.current is before, "nothing is built twice in a day"
    clock[0] = MIDNIGHT
    assert (today.find("chat").name, today.day) == (NEW.id, date(2026, 12, 1))
    assert before.find("chat").name == OLD.id, "who holds the old snapshot keeps it"
    clock[0] = MIDNIGHT - 5  # a clock that is set back
    assert today.find("chat").name == OLD.id


def test_warnings_are_those_of_the_day() -> None:
    clock = [MIDNIGHT]
    today = RoutesToday(routes(), lambda: clock[0])
    card = replace(OLD, retires_on=date(2027, 1, 31))
    assert today.warning(card) is None
    clock[0] += 86_400
    assert today.warning(card) == "claude-opus-4-8 may be retired from 2027-01-31 on, in 60 days; move to a newer model"
    assert today.warning(card) is today.warning(card)
    clock[0] += 86_400 * 60
    assert today.warning(card) == "claude-opus-4-8 may be retired since 2027-01-31; move to a newer model"
