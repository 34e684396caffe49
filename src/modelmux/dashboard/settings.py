"""Settings, which are only shown: the configuration in force, the state of the store and of workers, who may sign in,
and what was changed by whom.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from modelmux.accounts.sign_ins import subject_of
from modelmux.config.admin_check import roles_of
from modelmux.dashboard.page import ROOT, Data, Page, Visit

#: Rows of a page.
_LIMIT: Final = "50"
#: Characters of a value, and changed fields of a row, that are shown; the admin API has all.
_LONGEST: Final = 200
_MOST_CHANGES: Final = 50
#: Bytes of the records of a row: one that has more, as of an import, is not read for a page.
_LONGEST_CHANGE: Final = "100000"
_DEFAULT: Final = "default"


async def build(visit: Visit) -> Data:
    shown = await visit.read("/settings")
    rows = [one | {"text": _text(one["value"])} for one in shown["settings"]]
    return {
        "gateway": {name: shown[name] for name in ("version", "python", "traces", "metrics")},
        "warnings": shown["warnings"],
        "set": [one for one in rows if one["origin"] != _DEFAULT],
        "defaults": [one for one in rows if one["origin"] == _DEFAULT],
        "status": await visit.read("/status"),
        "has_accounts": visit.has_accounts,
    }


async def build_people(visit: Visit) -> Data:
    after = visit.query.get("after", "")
    page = await visit.read("/people", limit=_LIMIT, **({"after": after} if after else {}))
    directory, configured = await visit.directory(), roles_of(visit.dispatcher.backend.config.admin)
    for one in page["data"]:
        subject = subject_of(directory, one["id"], configured)
        one["role"] = None if subject is None else subject.role
        teams = sorted(directory.teams.values(), key=lambda team: team.name)
        roles = [(team.name, directory.role_in(one["id"], team.id)) for team in teams]
        one["teams"] = [{"team": name, "role": role} for name, role in roles if role is not None]
    return page | {"after": after}


async def build_audit(visit: Visit) -> Data:
    page = await visit.read_filtered("/audit", ("subject",), _LIMIT, longest=_LONGEST_CHANGE)
    for one in page["data"]:
        one["changes"] = list(itertools.islice(_changes(one["before"], one["after"]), _MOST_CHANGES))
    return page | {"may_read_settings": visit.may("settings.read")}


def _changes(before: Data, after: Data) -> Iterator[Data]:
    """Fields of records that differ: all of those that were made or removed."""
    for id in {**before, **after}:
        old, new = before.get(id) or {}, after.get(id) or {}
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                yield {"record": id, "field": name, "before": _shown(old, name), "after": _shown(new, name)}


def _shown(record: Data, name: str) -> str | None:
    """None where there is nothing."""
    return None if record.get(name) is None else _text(record[name])


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


SETTINGS: Final = Page(f"{ROOT}/settings", "settings.html", "Settings", "settings.read", build, nav="Settings")
PEOPLE: Final = Page(f"{ROOT}/settings/people", "people.html", "People", "settings.read", build_people)
AUDIT: Final = Page(f"{ROOT}/settings/audit", "audit.html", "Audit", "audit.read", build_audit)
