"""Loads Google credentials and fetches a token with them, in one blocking attempt.

All of this blocks and runs in the thread of ``tokens.GoogleTokens`` (or in a CLI command).

The configuration is trusted, as google-auth requires: an ``external_account`` contains URLs that are called. Executable
sources are off unless GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1, which google-auth itself checks.

Not in this module: asyncio, caching, the decision when to refresh.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import google.auth
from google.auth import (
    _cloud_sdk,
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

from modelmux.config.home import expand_user
from modelmux.upstream.google_auth.failures import (
    CredentialProblem,
    FailureCause,
    FileVersion,
    TokenFailure,
    classify,
    scrub,
)
from modelmux.upstream.google_auth.transport import http_transport
from modelmux.upstream.trust import NO_TRUST, Trust
from modelmux.wire.json_types import json_type

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
#: Lifetime in seconds of a token without an expiry: Google's default.
DEFAULT_LIFETIME = 3600.0
#: Google issues no token for longer than 12 hours; a larger value must not become a timer.
MAX_LIFETIME = 12 * 3600.0

#: Causes that a file has while another program writes it, and the seconds between the looks at such a file.
_WHILE_WRITTEN = frozenset({FailureCause.NOT_JSON, FailureCause.FILE_MISSING})
_PAUSES = (0.05, 0.1, 0.2, 0.4)

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


class LoadedCredentials(NamedTuple):
    """A ``google.auth.credentials.Credentials`` and its project, if it has one.

    Typed as Any, because the methods of google-auth are not annotated.

    :param version: of the file that they were read from, see ``FileVersion``; None if there is none.
    """

    credentials: Any
    project: str | None = None
    version: FileVersion | None = None

    @property
    def kind(self) -> str:
        """``service_account``, ``authorized_user``, ``metadata_server``, ... or ``other``."""
        return _KINDS.get(type(self.credentials).__module__, "other")


Loader = Callable[[Request], LoadedCredentials]
"""Finds or parses credentials; may read files and send HTTP requests over the given transport."""


class FileLoader:
    """A loader of credentials that are in a file, and the version of that file now.

    :param path: None while there is no file.
    """

    def __init__(self, load: Loader, path: Callable[[], str | os.PathLike[str] | None]) -> None:
        self._load = load
        self._path = path

    def __call__(self, request: Request) -> LoadedCredentials:
        version = self.version()  # before it is read: a change in between is seen at the next look
        return self._load(request)._replace(version=version)

    def version(self) -> FileVersion | None:
        """None if there is no file, or none that can be read."""
        path = self._path()
        try:
            info = expand_user(path).stat() if path else None
        except OSError:
            return None
        return None if info is None else (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def file_version(loader: Loader) -> FileVersion | None:
    """The version of a loader's file; None if it has no file."""
    return loader.version() if isinstance(loader, FileLoader) else None


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, its lifetime in seconds, and when it was received on the clock of ``fetch_token``."""

    token: str = field(repr=False)
    lifetime: float
    received_at: float
    loaded: LoadedCredentials = field(repr=False)


def fetch_token(
    loader: Loader,
    loaded: LoadedCredentials | None,
    clock: Callable[[], float],
    trust: Trust = NO_TRUST,
    sleep: Callable[[float], None] = time.sleep,
) -> AccessToken | TokenFailure:
    """Load the credentials unless they are loaded, and fetch a new token. Blocks; never raises.

    Credentials in a file that has changed are read again first, and those that are refused are read again before
    anybody hears of it: a key may have been replaced by another, also while it was on its way to Google.

    A failure is returned as a value: an exception of google-auth, whose arguments contain replies of the endpoint and
    whose frames contain the key, must not outlive this call. It has the version of the file that was read last.

    :param sleep: waits so many seconds for a file that is being written, 0.75 in total.
    """
    read = file_version(loader)
    is_from_file = loaded is not None and loaded.version is not None
    if loaded is not None and is_from_file and read not in (None, loaded.version):
        outcome = _fetch(loader, None, clock, trust)
        if isinstance(outcome, AccessToken):
            return outcome  # otherwise it may be half written: the credentials that are known may still do
    outcome = _fetch(loader, loaded, clock, trust)
    if is_from_file and _is_refused(outcome):
        read = file_version(loader)
        outcome = _fetch(loader, None, clock, trust)
    for pause in _PAUSES:
        if isinstance(outcome, AccessToken) or outcome.transient:
            break
        now = file_version(loader)
        if now == read:
            if not is_from_file or outcome.cause not in _WHILE_WRITTEN:
                break
            sleep(pause)
            now = file_version(loader)
        if now != read:
            read = now
            outcome = _fetch(loader, None, clock, trust)
    return replace(outcome, version=read) if isinstance(outcome, TokenFailure) else outcome


def _is_refused(outcome: AccessToken | TokenFailure) -> bool:
    return isinstance(outcome, TokenFailure) and not outcome.transient


def _fetch(
    loader: Loader, loaded: LoadedCredentials | None, clock: Callable[[], float], trust: Trust
) -> AccessToken | TokenFailure:
    try:
        with http_transport(trust) as request:
            if loaded is None:
                loaded = loader(request)
            loaded.credentials.refresh(request)
            return _access_token(loaded, clock())
    except Exception as exc:  # noqa: BLE001  any exception of google-auth becomes a TokenFailure
        return classify(exc, loaded.kind if loaded else None)


def _access_token(loaded: LoadedCredentials, received_at: float) -> AccessToken | TokenFailure:
    token = loaded.credentials.token
    if not isinstance(token, str) or not _HEADER_SAFE.fullmatch(token):
        return TokenFailure(FailureCause.UNUSABLE_TOKEN, "the access token is missing or not valid in a header")
    lifetime = _remaining_lifetime(loaded.credentials.expiry)
    if lifetime <= 0:
        return TokenFailure(FailureCause.CLOCK_SKEW, "the new access token has already expired")
    return AccessToken(token, min(lifetime, MAX_LIFETIME), received_at, loaded)


def _remaining_lifetime(expiry: datetime | None) -> float:
    """Seconds until ``expiry``, which google-auth computes with the system clock as naive UTC."""
    if expiry is None:
        return DEFAULT_LIFETIME
    return ((expiry if expiry.tzinfo else expiry.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds()


def service_account_info(info: Mapping[str, Any] | str) -> Loader:
    """Inline credentials, as an object or as JSON; any type google-auth supports, not only service accounts."""

    def load(_request: Request) -> LoadedCredentials:
        return _from_info(_parse(info) if isinstance(info, str) else dict(info))

    return load


def service_account_file(path: str | os.PathLike[str]) -> Loader:
    """Credentials in a JSON file.

    Read when first needed, and again after Google rejected them, so that a rotated key or a new login needs no restart.
    """

    def load(_request: Request) -> LoadedCredentials:
        return _from_info(_parse(_read(Path(path))))

    return FileLoader(load, lambda: path)


def application_default() -> Loader:
    """Application Default Credentials: GOOGLE_APPLICATION_CREDENTIALS, then gcloud's file, then the metadata server.

    The project is GOOGLE_CLOUD_PROJECT, or that of the credentials, gcloud or the metadata server.

    A file named by the environment is loaded by this module: the errors are better, and for an external account
    google-auth would request the project from the Resource Manager and fail if that is not reachable.
    """

    def load(request: Request) -> LoadedCredentials:
        path = os.environ.get(environment_vars.CREDENTIALS)
        if path:
            loaded = _from_info(_parse(_read(Path(path))))
            return loaded._replace(project=os.environ.get(environment_vars.PROJECT) or loaded.project)
        try:
            credentials, project = google.auth.default(scopes=[SCOPE], request=request)
        except exceptions.DefaultCredentialsError as exc:
            absent = "credentials were not found" in str(exc)
            raise CredentialProblem(
                FailureCause.NO_DEFAULT if absent else FailureCause.MALFORMED, scrub(str(exc))
            ) from None
        return LoadedCredentials(credentials, project)

    return FileLoader(load, default_file)


def default_file() -> str | None:
    """The file of Application Default Credentials, whether it exists or not; gcloud's, where none is named."""
    named = os.environ.get(environment_vars.CREDENTIALS)
    gclouds: str = _cloud_sdk.get_application_default_credentials_path()  # type: ignore[no-untyped-call]
    return named or gclouds


def _read(path: Path) -> str:
    try:
        return expand_user(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CredentialProblem(FailureCause.FILE_MISSING, f"no file at {path}") from None
    except UnicodeDecodeError:
        raise CredentialProblem(FailureCause.NOT_JSON, f"{path} is not UTF-8 text") from None
    except OSError as exc:
        raise CredentialProblem(FailureCause.FILE_UNREADABLE, f"{path}: {exc.strerror}") from None


def _parse(text: str) -> dict[str, Any]:
    try:
        info = json.loads(text)
    except ValueError as exc:
        where = f"line {exc.lineno}, column {exc.colno}" if isinstance(exc, json.JSONDecodeError) else None
        raise CredentialProblem(FailureCause.NOT_JSON, where) from None
    if not isinstance(info, dict):
        raise CredentialProblem(FailureCause.NOT_JSON, f"expected a JSON object, not {json_type(info)}")
    return info


def _from_info(info: dict[str, Any]) -> LoadedCredentials:
    """Build credentials by type.

    The generic loaders of google-auth are deprecated, emit warnings, and request the project of an external account
    over the network.
    """
    kind = info.get("type")
    build = _BUILDERS.get(kind) if isinstance(kind, str) else None
    if build is None:
        raise CredentialProblem(FailureCause.WRONG_TYPE, _describe_type(info))
    try:
        credentials = build(info).with_quota_project_from_environment()
        credentials = _with_scopes(credentials, [SCOPE])
    except (exceptions.GoogleAuthError, ValueError, TypeError, AttributeError, KeyError) as exc:
        raise CredentialProblem(FailureCause.MALFORMED, f"{kind}: {type(exc).__name__}: {scrub(str(exc))}") from None
    project = info.get("project_id")
    return LoadedCredentials(credentials, project if isinstance(project, str) else None)


def _service_account(info: dict[str, Any]) -> Any:
    key = info.get("private_key")
    if isinstance(key, str) and "\\n" in key:  # escaped twice, by an environment variable or YAML
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


def _describe_type(info: dict[str, Any]) -> str:
    if "installed" in info or "web" in info:
        return "this is an OAuth client secret, not credentials"
    kind = info.get("type")
    return f"type is {scrub(kind)!r}" if isinstance(kind, str) else "there is no type"


def key_file_problems(path: str | os.PathLike[str]) -> list[str]:
    """Problems of a key file: missing, not a regular file, readable by others. Empty if there are none."""
    try:
        info = expand_user(path).stat()
    except OSError as exc:
        return [f"{path}: {exc.strerror}"]
    if not stat.S_ISREG(info.st_mode):
        return [f"{path}: not a file"]
    mode = stat.S_IMODE(info.st_mode)
    return [f"{path}: mode is {mode:04o}, so other users can read the key; run chmod 600"] if mode & 0o077 else []
