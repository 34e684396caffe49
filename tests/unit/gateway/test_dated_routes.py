"""Risk: an alias that passes to its successor too early, too late, or only after a reload."""

from __future__ import annotations

from datetime import UTC, date, datetime

from msgspec.structs import replace

from modelmux.catalog import Catalog, builtin
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes

OLD, NEW = builtin().card("claude-opus-4-8"), builtin().card("claude-opus-5")
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC).timestamp()


def routes() -> Routes:
    own = [Route(card.id, (Deployment(card.id, "u", "p", "eu", card),)) for card in (OLD, NEW)]
    alias = Alias("chat", OLD.id, NEW.id, date(2026, 12, 1))
    return Routes(own, catalog=Catalog([OLD, NEW]), aliases=[alias])


def test_a_successor_takes_over_at_midnight_utc_and_not_before() -> None:
    clock = [MIDNIGHT - 1]
    dated = DatedRoutes(routes(), lambda: clock[0])
    assert (dated.find("chat").name, dated.day) == (OLD.id, date(2026, 11, 30))
    before = dated.current
    clock[0] = MIDNIGHT - 0.001
    assert dated.current is before, "routes are built once a day"
    clock[0] = MIDNIGHT
    assert (dated.find("chat").name, dated.day) == (NEW.id, date(2026, 12, 1))
    assert before.find("chat").name == OLD.id, "an old snapshot does not change"
    clock[0] = MIDNIGHT - 5  # a clock that is set back
    assert dated.find("chat").name == OLD.id


def test_warnings_are_those_of_the_day() -> None:
    clock = [MIDNIGHT]
    dated = DatedRoutes(routes(), lambda: clock[0])
    card = replace(OLD, retires_on=date(2027, 1, 31), replacement=None)
    assert dated.warning(card) is None
    clock[0] += 86_400
    assert dated.warning(card) == "claude-opus-4-8 may be retired from 2027-01-31 on, in 60 days; move to a newer model"
    assert dated.warning(card) is dated.warning(card)
    clock[0] += 86_400 * 60
    assert dated.warning(card) == "claude-opus-4-8 may be retired already (from 2027-01-31 on); move to a newer model"
