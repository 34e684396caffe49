"""``[admin]`` beyond its types: where its listener is, and whether its tokens can be secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from modelmux.accounts.fields import FieldError
from modelmux.accounts.fields import email as read_email
from modelmux.accounts.roles import Role
from modelmux.accounts.secret_format import ADMIN_PREFIX, KEY_PREFIX
from modelmux.config.admin_schema import AdminConfig
from modelmux.config.allowed_hosts import read_hosts
from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.proxy_sign_in import check_proxy_sign_in
from modelmux.config.schema import Config
from modelmux.config.weak_keys import weakness

#: What the audit log calls the holder of ``admin.token``.
OWNER: Final = "owner"
#: What switches the listener off, in lower case.
_OFF: Final = frozenset({"", "off", "no", "none", "false", "0"})
#: Where it is with accounts, if nothing is set.
_USUAL: Final = "127.0.0.1:3001"
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z._-]+):([0-9]{1,5})")
_MAX_PORT: Final = 65_535
_URL: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:_-]+(/[A-Za-z0-9._~/-]*)?")
#: Addresses that accept connections on every interface -> that of this machine.
_EVERY_INTERFACE: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "[::]": "[::1]", "": "127.0.0.1"}  # noqa: S104
_LISTEN_HINT: Final = 'Write admin.listen = "127.0.0.1:3001", or "off" for no admin API.'
_GENERATE: Final = "Generate a token with: openssl rand -hex 24"
#: Longest value that is repeated in a message.
_MAX_SHOWN: Final = 100


def admin_address(config: Config) -> tuple[str, int] | None:
    """Host and port of the listener of the admin API; None without one. A host of IPv6 is in brackets.

    Without accounts there is one only where it was asked for: a second port and process come as no surprise.

    :raises ConfigError: it is not an address.
    """
    listen = config.admin.listen
    text = (_USUAL if config.accounts.enabled else "") if listen is None else listen.strip()
    if text.lower() in _OFF:
        return None
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > _MAX_PORT:
        problem = f"{text[:_MAX_SHOWN]!r} is not an address with a port"
        raise ConfigError([str(Problem(("admin", "listen"), problem))], hint=_LISTEN_HINT)
    return match[1], int(match[2])


def admin_tokens(admin: AdminConfig) -> list[str]:
    """All tokens: that of the owner, if there is one, and those of ``admin.tokens`` in their order."""
    return [secret.reveal() for secret in (admin.token, *(one.token for one in admin.tokens)) if secret is not None]


def check_admin(config: Config) -> None:
    """:raises ConfigError: naming every value that cannot be used; tokens are not repeated."""
    if admin_address(config) is None and config.metrics.listener == "admin":
        problem = Problem(("metrics", "listener"), "/metrics would be nowhere: there is no admin API")
        raise ConfigError([str(problem)], hint='Set admin.listen = "127.0.0.1:3001", or metrics.listener = "both".')
    read_hosts(config.admin.allowed_hosts, "admin.allowed_hosts")
    url = config.admin.gateway_url
    if url is not None and not _URL.fullmatch(url.strip()):
        problem = Problem(("admin", "gateway_url"), f"{url[:_MAX_SHOWN]!r} is not a URL")
        raise ConfigError([str(problem)], hint="Write one such as https://models.example.com.")
    problems = [*_token_problems(config), *_entry_problems(config.admin)]
    if problems:
        raise ConfigError([str(problem) for problem in problems], hint=_GENERATE)
    unclear = list(_role_problems(config.admin))
    if unclear:
        hint = "Name each person once in admin.roles, by an e-mail address such as ann@example.com."
        raise ConfigError([str(problem) for problem in unclear], hint=hint)
    check_proxy_sign_in(config)


def roles_of(admin: AdminConfig) -> dict[str, Role]:
    """E-mail addresses in lower case -> roles of people who sign in."""
    return {one.email.strip().lower(): one.role for one in admin.roles}


def gateway_url(config: Config) -> str:
    """Where clients reach the models, without a slash at the end: as it is configured, or from this machine."""
    url = config.admin.gateway_url
    host = config.server.host
    return f"http://{_EVERY_INTERFACE.get(host, host)}:{config.server.port}" if url is None else url.strip().rstrip("/")


def _role_problems(admin: AdminConfig) -> Iterator[Problem]:
    before = set[str]()
    for index, one in enumerate(admin.roles):
        path = ("admin", "roles", index, "email")
        try:
            address = read_email("email", one.email)
        except FieldError:
            yield Problem(path, f"{one.email[:_MAX_SHOWN]!r} is not an e-mail address")
            continue
        if address in before:
            yield Problem(path, "another entry has this address")
        before.add(address)


def _token_problems(config: Config) -> Iterator[Problem]:
    admin = config.admin
    paths: list[tuple[str | int, ...]] = [("admin", "token")] if admin.token is not None else []
    paths += [("admin", "tokens", index, "token") for index in range(len(admin.tokens))]
    keys = {key.reveal() for key in config.server.api_keys}
    before = set[str]()
    for path, token in zip(paths, admin_tokens(admin), strict=True):
        problem = _weakness(token, keys, before)
        if problem is not None:
            yield Problem(path, problem)
        before.add(token)


def _weakness(token: str, keys: set[str], before: set[str]) -> str | None:
    if token in keys:
        return "it is one of server.api_keys, and clients of the models have those"
    if token in before:
        return "another token is the same"
    if token.startswith(KEY_PREFIX):
        return f"it has the form of a virtual key ({KEY_PREFIX}…), which the admin API refuses"
    if not token.isascii() or token != token.strip() or not token.isprintable():
        return "it has characters that a header cannot have"
    return weakness(token.removeprefix(ADMIN_PREFIX))


def _entry_problems(admin: AdminConfig) -> Iterator[Problem]:
    names = [one.name.strip().lower() for one in admin.tokens]
    for index, one in enumerate(admin.tokens):
        path = ("admin", "tokens", index)
        if not names[index]:
            yield Problem((*path, "name"), "it is empty")
        elif names[index] == OWNER:
            yield Problem((*path, "name"), "the holder of admin.token has this name")
        elif names[index] in names[:index]:
            yield Problem((*path, "name"), "another token has this name")
        if one.role == "team_admin" and not one.team:
            yield Problem((*path, "team"), "a team_admin needs the name of a team")
        if one.role in ("owner", "admin") and one.team:
            yield Problem((*path, "team"), f"an {one.role} is not limited to a team: write team_admin")
