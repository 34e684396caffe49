"""Who is signed in, and the choice of colours."""

from __future__ import annotations

from typing import Final

from modelmux.dashboard.page import ROOT, Data, Page, Visit


async def build(visit: Visit) -> Data:
    caller, names = visit.caller, await visit.names()
    principal = caller.principal
    directory = await visit.directory()
    person = directory.people.get(principal.person or "")
    return {
        "name": principal.name if person is None else person.email,
        "role": principal.role,
        "teams": [names.team(team) for team in principal.teams],
        "csrf_token": caller.csrf,
    }


SESSION: Final = Page(f"{ROOT}/session", "session.html", "You", "self.read", build)
