"""Sign-in links and sessions of the dashboard: who they are for, when they end. Of their tokens only digests are known.

A link is good for one session. Of a person, both end when the person's role changes or the person is disabled: they
have the role of when they began, and are compared with that of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Person
from modelmux.accounts.roles import Role

#: Microseconds.
_SECOND: Final = 1_000_000
LINK_LIFETIME: Final = 10 * 60 * _SECOND
SESSION_LIFETIME: Final = 12 * 3600 * _SECOND
#: Kept at once; the oldest ones give way. Whoever makes links can write the file, so this bounds mistakes, not attacks.
MAX_LINKS: Final = 1_000
MAX_SESSIONS: Final = 10_000


class Subject(Struct, frozen=True, kw_only=True):
    """Who signs in.

    :param person: id; None for the owner.
    :param teams: ids; of a ``team_admin``, those that the person administers.
    """

    person: str | None = None
    role: Role = "owner"
    teams: tuple[str, ...] = ()


class Link(Struct, frozen=True, kw_only=True):
    """:param digest: of its token, in hexadecimal digits. :param expires: microseconds in UTC."""

    digest: str
    subject: Subject
    expires: int


class Session(Struct, frozen=True, kw_only=True):
    """:param binding: of the owner, what ties it to the owner's token of the admin API; empty for a person."""

    digest: str
    subject: Subject
    expires: int
    binding: str = ""


class SignIns(Struct, frozen=True, kw_only=True):
    """All that there are, the oldest first."""

    links: tuple[Link, ...] = ()
    sessions: tuple[Session, ...] = ()


OWNER: Final = Subject()
#: E-mail addresses in lower case -> roles that the configuration gives.
Roles = Mapping[str, Role]
NO_ROLES: Final[Roles] = MappingProxyType({})


def person_of_email(directory: Directory, email: str) -> Person | None:
    """Who has an address, enabled or not. Only ASCII is compared: other letters may become those of another address in
    lower case.
    """
    wanted = email.strip().lower()
    if not (email.isascii() and wanted):
        return None
    return directory.person_of(wanted)


def subject_of(directory: Directory, person: str, roles: Roles = NO_ROLES) -> Subject | None:
    """A person with the role of now; None if the person may not sign in.

    Who administers a team is a ``team_admin`` of all such teams; others are a ``member``.

    :param roles: of those for whom the configuration names another one.
    """
    record = directory.people.get(person)
    if record is None or record.status != "active":
        return None
    role = roles.get(record.email.lower())
    if role is not None:
        return Subject(person=person, role=role)
    teams = tuple(
        sorted(
            team.id
            for team in directory.teams.values()
            if team.status == "active" and directory.role_in(person, team.id) == "team_admin"
        )
    )
    return Subject(person=person, role="team_admin" if teams else "member", teams=teams)


def is_current(directory: Directory, subject: Subject, roles: Roles = NO_ROLES) -> bool:
    """Whether a subject is today what it was."""
    return subject == OWNER if subject.person is None else subject_of(directory, subject.person, roles) == subject


def find_link(state: SignIns, digest: str, now: int) -> Link | None:
    """That which is still good."""
    return next((one for one in state.links if one.digest == digest and one.expires > now), None)


def find_session(state: SignIns, digest: str, now: int) -> Session | None:
    """That which is not over."""
    return next((one for one in state.sessions if one.digest == digest and one.expires > now), None)


def with_link(state: SignIns, digest: str, subject: Subject, now: int) -> SignIns:
    """With another link, and without what is over."""
    current = _current(state, now)
    link = Link(digest=digest, subject=subject, expires=now + LINK_LIFETIME)
    return SignIns(links=(*current.links, link)[-MAX_LINKS:], sessions=current.sessions)


def redeemed(state: SignIns, link: Link, digest: str, binding: str, now: int) -> SignIns:
    """With a session in place of a link.

    :param digest: of the session's token. :param binding: see ``Session``.
    """
    current = _current(state, now)
    session = Session(digest=digest, subject=link.subject, expires=now + SESSION_LIFETIME, binding=binding)
    links = tuple(one for one in current.links if one.digest != link.digest)
    return SignIns(links=links, sessions=(*current.sessions, session)[-MAX_SESSIONS:])


def without(state: SignIns, digest: str, now: int) -> SignIns:
    """Without a link or session, and without what is over."""
    current = _current(state, now)
    return SignIns(
        links=tuple(one for one in current.links if one.digest != digest),
        sessions=tuple(one for one in current.sessions if one.digest != digest),
    )


def _current(state: SignIns, now: int) -> SignIns:
    return SignIns(
        links=tuple(one for one in state.links if one.expires > now),
        sessions=tuple(one for one in state.sessions if one.expires > now),
    )
