"""Where Google credentials come from, and one blocking attempt to get a token from them.

Everything here blocks and runs in the thread of ``credentials.GoogleTokens`` (or in a CLI command). What must not come
in here: asyncio, caching, the decision when to refresh.

Configuration is trusted input, as google-auth says of its own: an ``external_account`` names URLs that are called.
Executable sources stay off unless GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1, which google-auth itself checks.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import google.auth
from google.auth import (
    aws,
    environment_vars,
    exceptions,
    external_account_authorized_user,
    identity_pool,
    impersonated_credentials,
    pluggable,
)
from google.auth.credentials import with_scopes_if_required
from google.auth.transport.requests import Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from modelmux.upstream.google_auth.failures import Cause, CredentialProblem, Failure, classify, scrub

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Seconds for connecting, and again for each read, of one HTTP exchange; google-auth's own default is 120.
HTTP_TIMEOUT = 10.0
#: Seconds a token is taken to live when Google does not say; it is what Google gives by default.
ASSUMED_LIFE = 3600.0
#: Seconds; Google gives no token for longer than 12 hours, and an absurd figure must not become a timer.
MAX_LIFE = 12 * 3600.0

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

_KINDS = {
    "google.oauth2.service_account": "service_account",
    "google.oauth2.credentials": "authorized_user",
    "google.auth.compute_engine.credentials": "metadata_server",
    "google.auth.impersonated_credentials": "impersonated_service_account",
    "google.auth.identity_pool": "external_account",
    "google.auth.aws": "external_account",
    "google.auth.pluggable": "external_account",
    "google.auth.external_account_authorized_user": "external_account_authorized_user",
}


class Loaded(NamedTuple):
    """A ``google.auth.credentials.Credentials``, and the project it names (None if it names none). The type is left
    open because google-auth leaves its methods without annotations."""

    credentials: Any
    project: str | None = None

    @property
    def kind(self) -> str:
        """``service_account``, ``authorized_user``, ``metadata_server``, ... or ``other``."""
        return _KINDS.get(type(self.credentials).__module__, "other")


Loader = Callable[[Request], Loaded]
"""Finds or parses credentials; may read files and make HTTP requests through the transport it is given."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, how long it lives (seconds), and when it was received (on the clock given to ``acquire``)."""

    token: str = field(repr=False)
    life: float
    at: float
    loaded: Loaded = field(repr=False)


class _BoundedRequest(Request):
    """google-auth's requests transport with a bound of our own on every exchange. Proxies come from the environment,
    as requests reads them."""

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> Any:
        bounded = HTTP_TIMEOUT if timeout is None else min(timeout, HTTP_TIMEOUT)
        exchange: Any = super().__call__  # not annotated by google-auth
        return exchange(url, method, body, headers, bounded, **kwargs)


@contextmanager
def http_transport() -> Iterator[Request]:
    """A transport for one attempt. A refresh every 45 minutes finds no open connection to reuse, so nothing is kept."""
    request = _BoundedRequest()
    try:
        yield request
    finally:
        request.session.close()


def acquire(loader: Loader, loaded: Loaded | None, clock: Callable[[], float]) -> Grant | Failure:
    """Load the credentials unless that was done before, and fetch a new token. Blocks; never raises.

    A failure comes back as a value, so that no exception of google-auth, whose arguments hold answers of the
    endpoint and whose frames hold the key, outlives this call.
    """
    try:
        with http_transport() as request:
            if loaded is None:
                loaded = loader(request)
            loaded.credentials.refresh(request)
            return _grant(loaded, clock())
    except Exception as exc:  # noqa: BLE001  whatever google-auth raises becomes a Failure that says so
        return classify(exc, loaded.kind if loaded else None)


def _grant(loaded: Loaded, at: float) -> Grant | Failure:
    token = loaded.credentials.token
    if not isinstance(token, str) or not _HEADER_SAFE.fullmatch(token):
        return Failure(Cause.UNUSABLE_TOKEN, "the access token is absent or cannot stand in a header")
    life = _life_left(loaded.credentials.expiry)
    if life <= 0:
        return Failure(Cause.CLOCK_SKEW, "the new access token has expired already")
    return Grant(token, min(life, MAX_LIFE), at, loaded)


def _life_left(expiry: datetime | None) -> float:
    """Seconds until ``expiry``, which google-auth computes from the system's clock as naive UTC."""
    if expiry is None:
        return ASSUMED_LIFE
    return ((expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def service_account_info(info: Mapping[str, Any] | str) -> Loader:
    """Credentials given inline, as an object or as JSON text; any type google-auth knows, not only service accounts."""

    def load(_request: Request) -> Loaded:
        return _from_info(_parse(info) if isinstance(info, str) else dict(info))

    return load


def service_account_file(path: str | os.PathLike[str]) -> Loader:
    """Credentials in a JSON file, read when first needed and again after Google refused what was in it, so that a
    rotated key or a new login is picked up without a restart."""

    def load(_request: Request) -> Loaded:
        return _from_info(_parse(_read(Path(path))))

    return load


def application_default() -> Loader:
    """Application Default Credentials: GOOGLE_APPLICATION_CREDENTIALS, then gcloud's file, then the metadata server.
    The project is GOOGLE_CLOUD_PROJECT or what the credentials, gcloud or the metadata server name.

    A file named by the environment is loaded like any other: the errors are better, and for an external account
    google-auth would ask the Resource Manager for the project and fail where that is out of reach.
    """

    def load(request: Request) -> Loaded:
        named = os.environ.get(environment_vars.CREDENTIALS)
        if named:
            loaded = _from_info(_parse(_read(Path(named))))
            return loaded._replace(project=os.environ.get(environment_vars.PROJECT) or loaded.project)
        try:
            credentials, project = google.auth.default(scopes=[SCOPE], request=request)
        except exceptions.DefaultCredentialsError as exc:
            absent = "credentials were not found" in str(exc)
            raise CredentialProblem(Cause.NO_DEFAULT if absent else Cause.MALFORMED, scrub(str(exc))) from None
        return Loaded(credentials, project)

    return load


def _read(path: Path) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CredentialProblem(Cause.FILE_MISSING, f"no file at {path}") from None
    except UnicodeDecodeError:
        raise CredentialProblem(Cause.NOT_JSON, f"{path} is not UTF-8 text") from None
    except OSError as exc:
        raise CredentialProblem(Cause.FILE_UNREADABLE, f"{path}: {exc.strerror}") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError as exc:
        where = f"line {exc.lineno}, column {exc.colno}" if isinstance(exc, json.JSONDecodeError) else None
        raise CredentialProblem(Cause.NOT_JSON, where) from None
    if not isinstance(info, dict):
        raise CredentialProblem(Cause.NOT_JSON, f"a JSON object is expected, not {type(info).__name__}")
    return info


def _from_info(info: dict[str, Any]) -> Loaded:
    """By type, through the constructors of each: google-auth's generic loaders are deprecated, warn, and look up the
    project of an external account over the network."""
    kind = info.get("type")
    build = _BUILDERS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise CredentialProblem(Cause.WRONG_TYPE, _what_it_is(info))
    try:
        credentials = build(info).with_quota_project_from_environment()
        credentials = _with_scopes(credentials, [SCOPE])
    except (exceptions.GoogleAuthError, ValueError, TypeError, AttributeError, KeyError) as exc:
        raise CredentialProblem(Cause.MALFORMED, f"{kind}: {type(exc).__name__}: {scrub(str(exc))}") from None
    project = info.get("project_id")
    return Loaded(credentials, project if isinstance(project, str) else None)


def _service_account(info: dict[str, Any]) -> Any:
    key = info.get("private_key")
    if isinstance(key, str) and "\\n" in key:  # escaped twice on its way through an environment variable or YAML
        info = {**info, "private_key": key.replace("\\n", "\n")}
    build: _Builder = service_account.Credentials.from_service_account_info
    return build(info)


def _external_account(info: dict[str, Any]) -> Any:
    build: _Builder = identity_pool.Credentials.from_info
    if info.get("subject_token_type") == "urn:ietf:params:aws:token-type:aws4_request":
        build = aws.Credentials.from_info
    elif (info.get("credential_source") or {}).get("executable") is not None:
        build = pluggable.Credentials.from_info
    return build(info)


_Builder = Callable[[dict[str, Any]], Any]
_BUILDERS: dict[str, _Builder] = {
    "service_account": _service_account,
    "authorized_user": user_credentials.Credentials.from_authorized_user_info,
    "external_account": _external_account,
    "external_account_authorized_user": external_account_authorized_user.Credentials.from_info,
    "impersonated_service_account": impersonated_credentials.Credentials.from_impersonated_service_account_info,
}
_with_scopes: Callable[[Any, list[str]], Any] = with_scopes_if_required


def _what_it_is(info: dict[str, Any]) -> str:
    if "installed" in info or "web" in info:
        return "this is an OAuth client secret, not credentials"
    kind = info.get("type")
    return f"type is {scrub(kind)!r}" if isinstance(kind, str) else "there is no type"


def key_file_problems(path: str | os.PathLike[str]) -> list[str]:
    """What is wrong with a key file as a file: missing, not a file, readable by others. Empty if nothing is."""
    try:
        found = Path(path).expanduser().stat()
    except OSError as exc:
        return [f"{path}: {exc.strerror}"]
    if not stat.S_ISREG(found.st_mode):
        return [f"{path}: not a file"]
    mode = stat.S_IMODE(found.st_mode)
    return [f"{path}: mode is {mode:04o}, others may read the key; run chmod 600"] if mode & 0o077 else []
