"""Why no access token could be obtained, as data: the cause, a message for people, and the remedy.

The messages are constant, because an endpoint may echo secrets that it was sent (a signed assertion, a client secret).
Text of an endpoint only goes to ``detail``, after ``scrub``.

Not in this module: I/O, asyncio, text of google-auth or of an endpoint that was not scrubbed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum

from google.auth import exceptions as google
from requests import exceptions as http

from modelmux.errors import CredentialsUnavailable
from modelmux.upstream.trust import REMEDY
from modelmux.wire.redaction import redacted

_LOGIN = "Run `gcloud auth application-default login` as the user the gateway runs as."
_SET_UP = (
    f"Set auth.service_account_file, or GOOGLE_APPLICATION_CREDENTIALS, or attach a service account. {_LOGIN} "
    "See docs/google-setup.md."
)
_SECRET = re.compile(r"-----BEGIN.*?(?:-----END[^-]*-----|\Z)|[A-Za-z0-9_\-+/=]{20,}", re.DOTALL)
_IDENTITY = re.compile(r"//[^/@\s]+@|[^\s@\"'<>]+(?:@[^\s@\"'<>]+)+")
#: A word of the path of a page, and a page of Google's documentation: people should read where to find a remedy. What
#: is random has longer words, or other characters.
_WORD = r"(?:[a-z]{1,19}[0-9]{0,8}|[0-9]{1,8})"
_PAGE = (
    r"https://(?:(?:docs\.cloud|developers|support)\.google\.com|cloud\.google\.com/(?:[a-z-]{1,19}/){0,2}docs)"
    rf"(?:[/#]{_WORD}(?:[._~-]{_WORD})*)*/?(?=\.?(?:[\s),;:'\"<>\]?]|$))"
)
#: The rest of a URL, without the punctuation after it.
_END_OF_URL = r"[^\s\"<>]*[^\s\"<>)\].,;:']"
_URL_OR_SECRET = re.compile(
    rf"(?P<page>{_PAGE})(?:\?{_END_OF_URL})?|(?P<host>(?i:https?)://[^\s/?#\"<>]+)[/?#]{_END_OF_URL}|{_SECRET.pattern}",
    re.DOTALL,
)
_SLUG = re.compile(r"[a-zA-Z_]{1,40}")
_REDACTED = "[redacted]"
_MAX_DETAIL = 300
#: Characters of a text that are looked at: the work for one without spaces grows with the square of its length.
_MAX_READ = 2048


class FailureCause(StrEnum):
    """Stable names of the causes, suitable as a metric label or a log field."""

    FILE_MISSING = "file_missing"
    FILE_UNREADABLE = "file_unreadable"
    NOT_JSON = "not_json"
    WRONG_TYPE = "wrong_type"
    MALFORMED = "malformed"
    NO_DEFAULT = "no_default_credentials"
    METADATA_ABSENT = "metadata_server"
    NETWORK = "network"
    PROXY = "proxy"
    TLS = "tls"
    TIMEOUT = "timeout"
    ENDPOINT_FAILING = "endpoint_failing"
    KEY_REFUSED = "key_refused"
    LOGIN_EXPIRED = "login_expired"
    CLOCK_SKEW = "clock_skew"
    CLIENT_REFUSED = "client_refused"
    SCOPE_REFUSED = "scope_refused"
    IMPERSONATION = "impersonation_refused"
    EXTERNAL_SOURCE = "external_source"
    UNUSABLE_TOKEN = "unusable_token"  # noqa: S105  the name of a cause
    SAME_TOKEN = "same_token"  # noqa: S105  the name of a cause
    FRESH_TOKEN_REJECTED = "fresh_token_rejected"  # noqa: S105  the name of a cause
    STATIC_REFUSED = "static_token_refused"
    CLOSED = "closed"
    UNEXPECTED = "unexpected"


#: Cause -> message for the client, and the remedy.
_MESSAGES: dict[FailureCause, tuple[str, str]] = {
    FailureCause.FILE_MISSING: (
        "The Google credentials file does not exist.",
        "Check auth.service_account_file or GOOGLE_APPLICATION_CREDENTIALS, and that the file is mounted.",
    ),
    FailureCause.FILE_UNREADABLE: (
        "The Google credentials file cannot be read.",
        "It must be a file that the user the gateway runs as can read; in a container, run as its owner (--user).",
    ),
    FailureCause.NOT_JSON: (
        "The Google credentials are not valid JSON.",
        "Download the key again, or check the quoting of auth.service_account_json.",
    ),
    FailureCause.WRONG_TYPE: (
        "The Google credentials have a type that is not supported for Vertex AI.",
        "Use a service account key, or the type authorized_user, impersonated_service_account or external_account.",
    ),
    FailureCause.MALFORMED: (
        "The Google credentials are incomplete or their private key is damaged.",
        f"Download the key again; in JSON, line breaks of private_key are written as \\n. For a login: {_LOGIN}",
    ),
    FailureCause.NO_DEFAULT: (
        "No Google credentials were found.",
        _SET_UP,
    ),
    FailureCause.METADATA_ABSENT: (
        "The metadata server of Google Cloud returned no access token.",
        "Check that a service account is attached to this workload; elsewhere set auth.service_account_file.",
    ),
    FailureCause.NETWORK: (
        "Could not connect to Google's token endpoint.",
        "Check DNS, the firewall and HTTPS_PROXY for oauth2.googleapis.com (or the token_uri of the key).",
    ),
    FailureCause.PROXY: (
        "The proxy did not connect the gateway to Google's token endpoint.",
        "Check HTTPS_PROXY and NO_PROXY.",
    ),
    FailureCause.TLS: (
        "The TLS certificate of Google's token endpoint was not accepted.",
        REMEDY,
    ),
    FailureCause.TIMEOUT: (
        "Google's token endpoint did not respond in time.",
        "Check the network path to oauth2.googleapis.com (or the token_uri of the key).",
    ),
    FailureCause.ENDPOINT_FAILING: (
        "Google's token endpoint returned an error.",
        "This is usually temporary; otherwise see https://status.cloud.google.com.",
    ),
    FailureCause.KEY_REFUSED: (
        "Google rejected the service account key.",
        "Check that the key and its service account exist and are enabled; otherwise create a new key.",
    ),
    FailureCause.LOGIN_EXPIRED: ("The Google login has expired or was revoked.", _LOGIN),
    FailureCause.CLOCK_SKEW: (
        "The clock of this machine is wrong: Google rejected its timestamp.",
        "Synchronize the clock, for example with NTP.",
    ),
    FailureCause.CLIENT_REFUSED: (
        "Google rejected the OAuth client of the credentials.",
        f"The client may be deleted, or blocked by the organization. {_LOGIN}",
    ),
    FailureCause.SCOPE_REFUSED: (
        "The Google credentials are not allowed to request the cloud-platform scope.",
        f"{_LOGIN} Do not narrow --scopes.",
    ),
    FailureCause.IMPERSONATION: (
        "Google refused to impersonate the service account.",
        "Grant roles/iam.serviceAccountTokenCreator on it to the caller and enable iamcredentials.googleapis.com.",
    ),
    FailureCause.EXTERNAL_SOURCE: (
        "The external identity of the Google credentials could not be read or exchanged.",
        "Check credential_source and audience; an executable needs GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1.",
    ),
    FailureCause.UNUSABLE_TOKEN: (
        "Google's token endpoint returned no usable access token.",
        "Check that token_uri is a Google token endpoint, and that no captive portal or proxy responds instead of it.",
    ),
    FailureCause.SAME_TOKEN: (
        "Vertex AI rejected the access token, and Google issued the same one again.",
        "Check that the service account still exists and that its tokens are not bound or revoked.",
    ),
    FailureCause.FRESH_TOKEN_REJECTED: (
        "Vertex AI rejected an access token that was just issued.",
        "Check that the credentials belong to Google Cloud, and that base_url is a Vertex AI endpoint.",
    ),
    FailureCause.STATIC_REFUSED: (
        "Google rejected the configured access token.",
        "It is valid for about an hour; use auth.service_account_file or Application Default Credentials instead.",
    ),
    FailureCause.CLOSED: ("The gateway is shutting down.", "Send the request again."),
    FailureCause.UNEXPECTED: (
        "Unexpected error while fetching a Google access token.",
        "See the log of the gateway for details.",
    ),
}

#: Causes that may disappear without intervention.
_TRANSIENT = frozenset(
    {
        FailureCause.METADATA_ABSENT,
        FailureCause.NETWORK,
        FailureCause.PROXY,
        FailureCause.TIMEOUT,
        FailureCause.ENDPOINT_FAILING,
        FailureCause.CLOSED,
        FailureCause.UNUSABLE_TOKEN,
    }
)

_OAUTH_CAUSES = {
    "invalid_client": FailureCause.CLIENT_REFUSED,
    "unauthorized_client": FailureCause.CLIENT_REFUSED,
    "deleted_client": FailureCause.CLIENT_REFUSED,
    "disabled_client": FailureCause.CLIENT_REFUSED,
    "org_internal": FailureCause.CLIENT_REFUSED,
    "admin_policy_enforced": FailureCause.CLIENT_REFUSED,
    "invalid_scope": FailureCause.SCOPE_REFUSED,
    "access_denied": FailureCause.SCOPE_REFUSED,
    "internal_failure": FailureCause.ENDPOINT_FAILING,
    "server_error": FailureCause.ENDPOINT_FAILING,
    "temporarily_unavailable": FailureCause.ENDPOINT_FAILING,
    "rate_limit_exceeded": FailureCause.ENDPOINT_FAILING,
}


#: Tells a file from what it was before: where it points, its size and its time. Kubernetes replaces a mounted secret
#: by pointing a symbolic link elsewhere.
FileVersion = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TokenFailure:
    """One failed attempt. Contains no secret: ``detail`` is scrubbed when it is created.

    :param version: of the file with the credentials when it was read for this attempt; None if there was none.
    """

    cause: FailureCause
    detail: str | None = None
    version: FileVersion | None = field(default=None, compare=False)

    @property
    def transient(self) -> bool:
        """Whether a later attempt may succeed without intervention."""
        return self.cause in _TRANSIENT

    def error(self, retry_after: float | None = None) -> CredentialsUnavailable:
        """A new exception to raise. Each waiter gets its own, so that tracebacks do not accumulate on one.

        :param retry_after: seconds until the next attempt; sent to the client only for transient failures.
        """
        message, hint = _MESSAGES[self.cause]
        detail = f"{self.cause}: {self.detail}" if self.detail else self.cause.value
        error = CredentialsUnavailable(message, hint=hint, detail=detail)
        if self.transient:
            error.should_retry = True
            error.retry_after = retry_after
        return error


class CredentialProblem(Exception):
    """Raised by a loader that knows the cause; the only exception whose content is used as it is."""

    def __init__(self, cause: FailureCause, detail: str | None = None) -> None:
        super().__init__(cause.value)
        self.failure = TokenFailure(cause, detail)


def scrub(text: str) -> str:
    """The text without anything that could be a key, a token, an address or a user name; at most 300 characters.

    Redacts any run of 20 characters of the base64 alphabets, which includes long paths, and of a URL what follows its
    host. Only pages of Google's documentation are left, without their query.
    """
    if len(text) > _MAX_READ:
        text = text[:_MAX_READ].rpartition(" ")[0]  # a word that is cut could not be recognised
    clean = redacted(_URL_OR_SECRET.sub(_scrubbed, _IDENTITY.sub(_REDACTED, text)))
    return clean.replace("\n", " ")[:_MAX_DETAIL]


def _scrubbed(match: re.Match[str]) -> str:
    """What is left of a URL or a secret."""
    page, host = match["page"], match["host"]
    if page is not None:
        return str(page) if match.end() == match.end("page") else f"{page}?{_REDACTED}"
    return _REDACTED if host is None else f"{_SECRET.sub(_REDACTED, host)}/{_REDACTED}"


def classify(exc: Exception, kind: str | None) -> TokenFailure:
    """The failure that an exception of google-auth or requests means.

    :param kind: the type of the credentials, None if they could not be loaded.
    """
    chain = _chain(exc)
    for link in chain:
        if isinstance(link, CredentialProblem):
            return link.failure
    oauth = _oauth_error(chain)
    if oauth is not None:
        return _from_oauth_error(oauth, kind)
    return TokenFailure(_from_types(chain, kind), _describe(chain))


def _chain(exc: BaseException) -> list[BaseException]:
    """The exception and those it wraps, which google-auth puts into ``args`` or ``__cause__``."""
    chain: list[BaseException] = []
    queue: list[BaseException] = [exc]
    while queue and len(chain) < 12:
        link = queue.pop(0)
        if not any(link is seen for seen in chain):
            chain.append(link)
            inner = [arg for arg in link.args if isinstance(arg, BaseException)]
            queue.extend([*inner, *(x for x in (link.__cause__, link.__context__) if x is not None)])
    return chain


def _oauth_error(chain: list[BaseException]) -> dict[str, object] | None:
    """The error document of the endpoint, if any: RFC 6749 (``error`` is a code) or Google's (an object)."""
    for link in chain:
        if isinstance(link, google.GoogleAuthError) and len(link.args) > 1:
            document = link.args[1]
            if isinstance(document, str):
                try:
                    document = json.loads(document)
                except ValueError:
                    continue
            if isinstance(document, dict) and "error" in document:
                return document
    return None


def _from_oauth_error(document: dict[str, object], kind: str | None) -> TokenFailure:
    error = document["error"]
    description = str(document.get("error_description") or "")
    if isinstance(error, dict):  # google.rpc.Status, from IAM Credentials
        code = _slug(error.get("status"))
        failing = code in {"UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
        cause = FailureCause.ENDPOINT_FAILING if failing else FailureCause.IMPERSONATION
        return TokenFailure(cause, f"{code} from the IAM Credentials API")
    code = _slug(error)
    subtype = _slug(document.get("error_subtype")) if document.get("error_subtype") else ""
    detail = scrub(" ".join(part for part in (code, subtype, description) if part))
    if code == "invalid_grant":
        return TokenFailure(_from_invalid_grant(description.lower(), kind), detail)
    unknown = FailureCause.EXTERNAL_SOURCE if kind == "external_account" else FailureCause.UNEXPECTED
    return TokenFailure(_OAUTH_CAUSES.get(code, unknown), detail)


def _from_invalid_grant(description: str, kind: str | None) -> FailureCause:
    """Google uses one code for many causes; only the description distinguishes them."""
    if "short-lived" in description or "timeframe" in description or "'iat'" in description:
        return FailureCause.CLOCK_SKEW
    if kind == "external_account":
        return FailureCause.EXTERNAL_SOURCE
    if kind == "service_account" or "jwt" in description:
        return FailureCause.KEY_REFUSED
    return FailureCause.LOGIN_EXPIRED


def _from_types(chain: list[BaseException], kind: str | None) -> FailureCause:
    first = chain[0]
    text = " ".join(arg for arg in first.args if isinstance(arg, str))
    if kind == "metadata_server":
        return FailureCause.METADATA_ABSENT
    if any(isinstance(link, google.TransportError | http.RequestException) for link in chain):
        return _from_transport(chain)
    if isinstance(first, google.ReauthFailError) or "Reauthentication is needed" in text:
        return FailureCause.LOGIN_EXPIRED
    if getattr(first, "retryable", False):
        return FailureCause.ENDPOINT_FAILING
    if kind == "external_account":
        return FailureCause.EXTERNAL_SOURCE
    if kind is not None and ("No access token" in text or isinstance(first, LookupError | TypeError | ValueError)):
        return FailureCause.UNUSABLE_TOKEN  # google-auth fails on replies of an unexpected shape
    if "impersonated" in text:
        return FailureCause.IMPERSONATION
    if isinstance(first, google.RefreshError):  # an error page instead of an OAuth document
        return FailureCause.ENDPOINT_FAILING
    return FailureCause.UNEXPECTED


def _from_transport(chain: list[BaseException]) -> FailureCause:
    for kind, cause in (
        (http.ProxyError, FailureCause.PROXY),
        (http.SSLError, FailureCause.TLS),
        (http.Timeout, FailureCause.TIMEOUT),
    ):
        if any(isinstance(link, kind) for link in chain):
            return cause
    return FailureCause.NETWORK


def _describe(chain: list[BaseException]) -> str:
    """The class names of the exceptions, and the message of the operating system, if any; no other text."""
    names = " < ".join(type(link).__name__ for link in chain)
    os_message = next((link.strerror for link in chain if isinstance(link, OSError) and link.strerror), None)
    return f"{names}: {scrub(str(os_message))}" if os_message else names


def _slug(value: object) -> str:
    return value if isinstance(value, str) and _SLUG.fullmatch(value) else "unknown_error"
