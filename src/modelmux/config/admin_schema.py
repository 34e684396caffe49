"""``[admin]``: the listener of the admin API, and who may use it; a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct

from modelmux.config.annotations import doc
from modelmux.config.values import Secret


class AdminTokenConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A further token."""

    name: Annotated[str, doc("What the audit log calls it.", example="grafana")]
    token: Annotated[Secret, doc("What is sent as Authorization: Bearer.", example="output of openssl rand -hex 24")]
    role: Annotated[
        Literal["owner", "admin", "team_admin", "viewer", "auditor"], doc("What it may do.", example="viewer")
    ]
    team: Annotated[str | None, doc("The team that it is limited to, with those below it.", example="data")] = None


class AdminConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """The admin API, which is served while ``accounts.enabled``."""

    listen: Annotated[
        str, doc('Address and port of its listener; any other than loopback needs a token. "off": no admin API.')
    ] = "127.0.0.1:3001"
    token: Annotated[
        Secret | None,
        doc("The token of the owner, who may do everything.", example="output of openssl rand -hex 24"),
    ] = None
    tokens: Annotated[list[AdminTokenConfig], doc("Further tokens, each with its role.")] = []
    gateway_url: Annotated[
        str | None,
        doc(
            "Where clients reach the models, as the dashboard tells them; server.host and server.port if not set.",
            example="https://models.example.com",
        ),
    ] = None
    allowed_hosts: Annotated[
        list[str],
        doc("Names besides those of loopback under which it is served on loopback, as those of a proxy in front."),
    ] = []
