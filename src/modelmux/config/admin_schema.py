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


class AdminRoleConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """The role of a person who signs in, in place of that which follows from teams."""

    email: Annotated[str, doc("Of a person of the accounts.", example="ann@example.com")]
    role: Annotated[Literal["owner", "admin", "viewer", "auditor"], doc("What the person may do.", example="admin")]


class AdminConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """The admin API and the dashboard, which are served with accounts, or where ``listen`` is set."""

    listen: Annotated[
        str | None,
        doc(
            "Address and port of its listener; any other than loopback needs a token. Not set: 127.0.0.1:3001 with "
            'accounts, none without. "off": no admin API.',
            example="127.0.0.1:3001",
        ),
    ] = None
    token: Annotated[
        Secret | None,
        doc("The token of the owner, who may do everything.", example="output of openssl rand -hex 24"),
    ] = None
    tokens: Annotated[list[AdminTokenConfig], doc("Further tokens, each with its role.")] = []
    roles: Annotated[
        list[AdminRoleConfig],
        doc(
            "Roles of people who sign in to the dashboard; others are a team_admin of teams that they administer, or a "
            "member."
        ),
    ] = []
    gateway_url: Annotated[
        str | None,
        doc(
            "Where clients reach the models, as the dashboard tells them; server.host and server.port if not set.",
            example="https://models.example.com",
        ),
    ] = None
    allowed_hosts: Annotated[
        list[str],
        doc(
            "Names besides those of loopback under which it is served on loopback, as those of a proxy in front. On "
            "any other listener: under which a proxy that reaches it by loopback signs people in."
        ),
    ] = []
    trusted_header: Annotated[
        str | None,
        doc(
            "Header with the e-mail address of who is signed in at an authenticating proxy; believed from "
            "trusted_peers alone.",
            example="x-forwarded-email",
        ),
    ] = None
    trusted_peers: Annotated[
        list[str],
        doc("Networks of the proxies whose trusted_header is believed.", example=["10.0.3.7/32"]),
    ] = []
    iap_audience: Annotated[
        str | None,
        doc(
            "Audience of the signed header of Google's Identity-Aware Proxy, by which people sign in.",
            example="/projects/PROJECT_NUMBER/global/backendServices/SERVICE_ID",
        ),
    ] = None
    iap_keys_url: Annotated[
        str, doc("Where the public keys of the Identity-Aware Proxy are; for tests and mirrors.")
    ] = "https://www.gstatic.com/iap/verify/public_key-jwk"
