"""``[[accounts.teams]]``, ``[[accounts.people]]`` and ``[[accounts.keys]]``: what the configuration manages."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from modelmux.config.annotations import doc


class TeamConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A team."""

    name: Annotated[str, doc("Its name.", example="data")]
    parent: Annotated[str | None, doc("The name of the team above it.", example="research")] = None
    zone: Annotated[str | None, doc("Time zone in which its budgets begin.", example="Europe/Berlin")] = None
    contact: Annotated[
        str | None, doc("Whom its members ask for more, shown in errors.", example="ann@example.com")
    ] = None
    enabled: Annotated[bool, doc("Keys of a team that is not enabled are refused.")] = True


class PersonConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A person."""

    email: Annotated[str, doc("The e-mail address.", example="ann@example.com")]
    name: Annotated[str, doc("The person's name.")] = ""
    enabled: Annotated[bool, doc("Keys of a person who is not enabled are refused.")] = True


class KeyConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A key. Its secret is never in the file."""

    name: Annotated[str, doc("What people call it.", example="ci")]
    variable: Annotated[str | None, doc("The environment variable that has its secret.", example="CI_KEY")] = None
    sha256: Annotated[
        str | None,
        doc("In place of a variable: the SHA-256 of its secret, 64 hexadecimal digits.", example="9f86d081…"),
    ] = None
    team: Annotated[str | None, doc("The name of its team.", example="data")] = None
    person: Annotated[str | None, doc("The e-mail address of the person whose it is.", example="ann@example.com")] = (
        None
    )
    models: Annotated[list[str], doc("Names of routes and models that it may use; * stands for any characters.")] = []
    apis: Annotated[list[str], doc("APIs that it may use: chat, responses, messages, vertex.")] = []
    addresses: Annotated[list[str], doc("Networks from which it may be used.", example=["10.0.0.0/8"])] = []
    tags: Annotated[list[str], doc("Tags that all its requests have.", example=["app=ci"])] = []
    expires: Annotated[str | None, doc("When it ends, in UTC unless it says otherwise.", example="2026-12-31")] = None
    enabled: Annotated[bool, doc("A key that is not enabled is refused.")] = True
