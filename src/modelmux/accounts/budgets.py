"""Budgets: what they limit, whom they apply to, and which of them a request is charged to.

A budget selects requests by one selector. It has one window, or one for each person, key or end user that it selects;
whose window it is, is its subject. All budgets that select a request apply to it, always.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.name_pattern import matches, matches_model
from modelmux.accounts.windows import WindowRule

BUDGET: Final = "bud_"

Unit = Literal["usd", "tokens", "requests"]
#: ``hard``: never exceeded. ``soft``: counted and told, never refused.
Mode = Literal["hard", "soft"]
#: What happens to a request that does not fit.
OnShort = Literal["refuse", "wait", "clamp"]
#: What a request holds: its worst case, or what the key's answers usually cost.
Reserve = Literal["worst", "expected"]
Each = Literal["person", "key", "end_user"]


class Selector(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which requests: all conditions that are set have to hold; without any, all requests.

    :param key, team, person: ids; a team counts with the teams below it.
    :param each: one window for each of these, and only requests that have one.
    :param model, route: patterns; ``*`` stands for any characters.
    :param tag: ``app=chat``, or ``app`` for any value.
    """

    key: str | None = None
    team: str | None = None
    person: str | None = None
    each: Each | None = None
    model: str | None = None
    route: str | None = None
    tag: str | None = None


class Budget(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One budget.

    :param limit: in its unit; nano-USD, tokens or requests.
    :param alerts: percentages of the limit at which people are told, once in a window.
    :param metric: ``/metrics`` shows its window.
    """

    id: str
    name: str
    limit: int
    window: WindowRule
    applies_to: Selector = Selector()
    unit: Unit = "usd"
    mode: Mode = "hard"
    alerts: tuple[int, ...] = (50, 80, 100)
    on_short: OnShort = "refuse"
    reserve: Reserve = "worst"
    metric: bool = False
    status: Literal["active", "disabled"] = "active"
    managed: bool = False


class Request(Struct, frozen=True, kw_only=True):
    """What selectors look at.

    :param teams: ids from the topmost team to that of the key.
    :param model: Vertex id of the model that is called; None for whatever model.
    """

    key: str
    teams: tuple[str, ...] = ()
    person: str | None = None
    end_user: str | None = None
    model: str | None = None
    route: str = ""
    tags: Mapping[str, str] = {}


def chain_of(budgets: Iterable[Budget], request: Request) -> list[tuple[Budget, str]]:
    """The budgets that apply to a request, each with the subject whose window it is charged to; in the order of their
    ids, in which windows are locked."""
    chain = []
    for budget in budgets:
        subject = subject_of(budget.applies_to, request) if budget.status == "active" else None
        if subject is not None:
            chain.append((budget, subject))
    return sorted(chain, key=lambda pair: (pair[0].id, pair[1]))


def subject_of(selector: Selector, request: Request) -> str | None:
    """Whose window or limit it is; empty for that of all. None if the request is not selected."""
    if (
        (selector.key is not None and selector.key != request.key)
        or (selector.team is not None and selector.team not in request.teams)
        or (selector.person is not None and selector.person != request.person)
        or not (selector.model is None or request.model is None or matches_model(request.model, selector.model))
        or (selector.route is not None and not matches(request.route, selector.route))
        or (selector.tag is not None and not _has_tag(request.tags, selector.tag))
    ):
        return None
    if selector.each is None:
        return ""
    if selector.each == "person":
        return request.person
    return request.key if selector.each == "key" else request.end_user


def of_any_request(selector: Selector) -> Selector:
    """The same without what it looks at in a request: whose it is alone."""
    return replace(selector, model=None, route=None, tag=None)


def depends_on_request(selector: Selector) -> bool:
    """Whether a selector looks at more of a request than its key and what it asks for."""
    return selector.tag is not None or selector.each == "end_user"


def _has_tag(tags: Mapping[str, str], wanted: str) -> bool:
    name, equals, value = wanted.partition("=")
    return name in tags and (not equals or tags[name] == value)
