"""Keys: the list, a new one, and one key with its budgets, its secrets and how clients are set up with it."""

from __future__ import annotations

import re
from typing import Final

from modelmux.accounts.fields import FieldError
from modelmux.admin.errors import of_field
from modelmux.dashboard.page import ROOT, Action, Data, Moved, Page, Shown, Visit, part
from modelmux.errors import GatewayError
from modelmux.store.base import StoreFailed

_LIMIT: Final = "100"
_MOST_CHOICES: Final = "200"
_FILTERS: Final = ("team", "person", "status")
_PERIODS: Final = ("hour", "day", "week", "month", "year", "lifetime")
#: Hours that the old secret of a rotation stays valid.
_GRACES: Final = (0, 1, 24, 168)
_COMMAS: Final = re.compile(r"[,\s]+")


async def build_list(visit: Visit) -> Data:
    page = await visit.read_filtered("/keys", _FILTERS, _LIMIT)
    names = await visit.names()
    for row in page["data"]:
        _name(row, names.team, names.person)
    may_create = visit.may("keys.write")
    return page | {
        "may_create": may_create,
        "may_set_budget": visit.may("budgets.write"),
        "teams": await _choices(visit, "/teams", "name") if may_create else None,
        "people": await _choices(visit, "/people", "email") if may_create else None,
        "periods": list(_PERIODS),
        "form": {},
    }


async def build_detail(visit: Visit) -> Data:
    key = await visit.read(f"/keys/{part(visit.path['id'])}")
    names = await visit.names()
    _name(key, names.team, names.person)
    return {
        "key": key,
        "secret": None,
        "gateway_url": visit.site.gateway_url,
        "model": _model(visit, key),
        "may_use": visit.may("keys.use") and key["status"] != "revoked" and not key["managed"],
        "may_read_requests": visit.may("requests.read"),
        "graces": list(_GRACES),
    }


async def create(visit: Visit) -> Shown:
    """The secret is in this reply alone."""
    form = {name: value.strip() for name, value in visit.form.items()}
    body: Data = {"name": form.get("name", "")}
    body |= {name: form[name] for name in ("team", "person") if form.get(name)}
    body["models"] = [one for one in _COMMAS.split(form.get("models", "")) if one]
    if form.get("rpm"):
        body["limits"] = {"rpm": _number(form["rpm"])}
    if form.get("expires"):
        body["expires_at"] = f"{form['expires']}T00:00:00Z"
    key = await visit.write("/keys", body)
    problem = await _add_budget(visit, key["id"], form) if form.get("limit") else None
    return _shown(visit, key, "Key created", problem)


async def rotate(visit: Visit) -> Shown:
    grace = _number(visit.form.get("grace", "24"))
    seconds = grace * 3600 if isinstance(grace, int) else grace
    key = await visit.write(f"/keys/{part(visit.path['id'])}/rotate", {"grace": seconds})
    return _shown(visit, key, "Key rotated")


async def revoke(visit: Visit) -> Moved:
    await visit.write(f"/keys/{part(visit.path['id'])}/revoke", {"now": visit.form.get("now") == "yes"})
    return Moved(f"{ROOT}/keys/{part(visit.path['id'])}")


async def _add_budget(visit: Visit, key: str, form: Data) -> str | None:
    """:returns: why there is none: the secret of the key has to be shown nevertheless."""
    budget = {"applies_to": {"key": key}, "limit": form["limit"], "window": form.get("window", "month")}
    try:
        await visit.write("/budgets", budget)
    except FieldError as error:
        return of_field(error).public_message
    except GatewayError as error:
        return error.public_message
    except StoreFailed:
        return "the accounts cannot be written."
    return None


def _shown(visit: Visit, key: Data, title: str, problem: str | None = None) -> Shown:
    return Shown("secret.html", title, {
        "key": key, "secret": key["secret"], "gateway_url": visit.site.gateway_url, "model": _model(visit, key),
        "budget_problem": problem,
    })  # fmt: skip


def _model(visit: Visit, key: Data) -> str:
    """One for examples: that the key may use, as far as its names are not patterns."""
    return next((name for name in key["models"] if "*" not in name), visit.site.model)


async def _choices(visit: Visit, path: str, name: str) -> list[Data] | None:
    """Those that a new key may have, as a list offers them; None if they are too many for a list."""
    page = await visit.read(path, limit=_MOST_CHOICES)
    if page["has_more"]:
        return None
    return [{"id": one["id"], "name": one[name]} for one in page["data"] if one["status"] == "active"]


def _name(row: Data, team: object, person: object) -> None:
    """Add what its team and person are called."""
    assert callable(team)
    assert callable(person)
    row["team_name"] = None if row["team"] is None else team(row["team"])
    row["person_name"] = None if row["person"] is None else person(row["person"])


def _number(text: str) -> int | str:
    """A number if it is one: what is not, the API names."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else text


KEYS: Final = Page(f"{ROOT}/keys", "keys.html", "Keys", "keys.read", build_list, nav="Keys")
KEY: Final = Page(f"{ROOT}/keys/{{id}}", "key.html", "Key", "keys.read", build_detail)
ACTIONS: Final = (
    Action(f"{ROOT}/keys", "keys.write", create, KEYS),
    Action(f"{ROOT}/keys/{{id}}/rotate", "keys.use", rotate, KEY),
    Action(f"{ROOT}/keys/{{id}}/revoke", "keys.use", revoke, KEY),
)
