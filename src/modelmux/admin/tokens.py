"""The tokens of the configuration -> who sends one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.find import find_team
from modelmux.accounts.roles import Principal, Role
from modelmux.config.admin_check import OWNER
from modelmux.config.admin_schema import AdminConfig


def authenticator(admin: AdminConfig, directory: Callable[[], Directory]) -> Callable[[str], Principal | None]:
    """A token -> its principal; None for another text.

    Every token is compared, each in constant time, so timing reveals nothing about any of them.

    :param directory: returns that of now, which has the teams that tokens name. A team that it lacks is one in which
        there is nothing to see.
    """
    entries: list[tuple[bytes, str, Role, str | None]] = []
    if admin.token is not None:
        entries.append((_digest(admin.token.reveal()), OWNER, "owner", None))
    entries += [(_digest(one.token.reveal()), one.name, one.role, one.team) for one in admin.tokens]

    def authenticate(token: str) -> Principal | None:
        digest = _digest(token)
        matches = [entry for entry in entries if hmac.compare_digest(digest, entry[0])]
        if not matches:
            return None
        _, name, role, team = matches[0]
        return Principal(name=name, role=role, teams=() if team is None else _team(directory(), team))

    return authenticate


def _team(directory: Directory, text: str) -> tuple[str, ...]:
    """Its id, by id or name."""
    try:
        return (find_team(directory, text).id,)
    except FieldError:
        return ()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
