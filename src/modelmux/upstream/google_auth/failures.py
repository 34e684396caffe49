"""Why no access token could be had, as data: the cause, what to tell people, and what they can do about it.

What must not come in here: I/O, asyncio, and any text of google-auth or of an endpoint that has not been through
``scrub``. The messages below are fixed sentences because an endpoint may echo what it was sent (the signed assertion,
a client secret); what an endpoint says only ever reaches ``detail``, scrubbed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from google.auth import exceptions as google
from requests import exceptions as http

from modelmux.errors import CredentialsUnavailable

_LOGIN = "Run `gcloud auth application-default login` as the user the gateway runs as."
_SECRET = re.compile(r"-----BEGIN.*?(?:-----END[^-]*-----|\Z)|[A-Za-z0-9_\-+/=]{20,}", re.DOTALL)
_IDENTITY = re.compile(r"//[^/@\s]+@|[^\s@\"'<>]+@[^\s@\"'<>]+")
_SLUG = re.compile(r"[a-zA-Z_]{1,40}")
_MAX_DETAIL = 300


class Cause(StrEnum):
    """Stable names of the causes; safe as a metric label or a log field."""

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
    RENEWED_IN_VAIN = "renewed_in_vain"
    STATIC_REFUSED = "static_token_refused"
    CLOSED = "closed"
    UNEXPECTED = "unexpected"


#: Cause -> what happened (shown to the client) and the remedy.
_WORDS: dict[Cause, tuple[str, str]] = {
    Cause.FILE_MISSING: (
        "The Google credentials file does not exist.",
        "Check auth.service_account_file or GOOGLE_APPLICATION_CREDENTIALS, and that the file is mounted.",
    ),
    Cause.FILE_UNREADABLE: (
        "The Google credentials file cannot be read.",
        "It must be a file that the user the gateway runs as may read (mode 0600).",
    ),
    Cause.NOT_JSON: (
        "The Google credentials are not valid JSON.",
        "Download the key again, or check the quoting of auth.service_account_json.",
    ),
    Cause.WRONG_TYPE: (
        "The Google credentials are of a type that cannot be used for Vertex AI.",
        "Expected is a service account key, or one of authorized_user, impersonated_service_account, external_account.",
    ),
    Cause.MALFORMED: (
        "The Google credentials are incomplete or their private key is damaged.",
        f"Download the key again; in JSON the line breaks of private_key are written \\n. For a login: {_LOGIN}",
    ),
    Cause.NO_DEFAULT: (
        "No Google credentials were found.",
        f"Set auth.service_account_file, or GOOGLE_APPLICATION_CREDENTIALS, or attach a service account. {_LOGIN}",
    ),
    Cause.METADATA_ABSENT: (
        "The metadata server of Google Cloud gave no access token.",
        "Check that a service account is attached to this workload; elsewhere set auth.service_account_file.",
    ),
    Cause.NETWORK: (
        "Google's token endpoint could not be reached.",
        "Check DNS, the firewall and HTTPS_PROXY for oauth2.googleapis.com (or the token_uri of the key).",
    ),
    Cause.PROXY: (
        "The proxy did not let the gateway through to Google's token endpoint.",
        "Check HTTPS_PROXY and NO_PROXY.",
    ),
    Cause.TLS: (
        "The TLS certificate of Google's token endpoint was not accepted.",
        "Behind an inspecting proxy, point REQUESTS_CA_BUNDLE at its certificate authority.",
    ),
    Cause.TIMEOUT: (
        "Google's token endpoint did not answer in time.",
        "Check the network path to oauth2.googleapis.com (or the token_uri of the key).",
    ),
    Cause.ENDPOINT_FAILING: (
        "Google's token endpoint answers with errors.",
        "This usually passes; see https://status.cloud.google.com if it does not.",
    ),
    Cause.KEY_REFUSED: (
        "Google refused the service account key.",
        "Check that the key and its service account still exist and are enabled; otherwise make a new key.",
    ),
    Cause.LOGIN_EXPIRED: ("The Google login has expired or was revoked.", _LOGIN),
    Cause.CLOCK_SKEW: (
        "The clock of this machine is too far from Google's.",
        "Set the clock, for instance by turning NTP on.",
    ),
    Cause.CLIENT_REFUSED: (
        "Google refused the OAuth client of these credentials.",
        f"The client may be deleted, or blocked by the organisation. {_LOGIN}",
    ),
    Cause.SCOPE_REFUSED: (
        "These Google credentials may not ask for the cloud-platform scope.",
        f"{_LOGIN} Do not narrow --scopes.",
    ),
    Cause.IMPERSONATION: (
        "Google refused to impersonate the service account.",
        "Grant roles/iam.serviceAccountTokenCreator on it to the caller and enable iamcredentials.googleapis.com.",
    ),
    Cause.EXTERNAL_SOURCE: (
        "The external identity that these Google credentials rest on could not be read or exchanged.",
        "Check credential_source and audience; an executable needs GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1.",
    ),
    Cause.UNUSABLE_TOKEN: (
        "Google's token endpoint answered without a usable access token.",
        "Check that token_uri is a Google token endpoint and that no captive portal or proxy answers in its place.",
    ),
    Cause.SAME_TOKEN: (
        "Vertex AI refused the access token, and Google hands out the same one again.",
        "Check that the service account still exists and that its tokens are not bound or revoked.",
    ),
    Cause.RENEWED_IN_VAIN: (
        "Vertex AI refuses access tokens that were issued a moment ago.",
        "Check that the credentials belong to Google Cloud, and that base_url is a Vertex AI endpoint.",
    ),
    Cause.STATIC_REFUSED: (
        "Google refused the configured access token.",
        "auth.access_token lasts about an hour; auth.service_account_file or Application Default Credentials renew.",
    ),
    Cause.CLOSED: ("The gateway is shutting down.", "Send the request again."),
    Cause.UNEXPECTED: (
        "Getting a Google access token failed in an unforeseen way.",
        "The gateway's log has the details.",
    ),
}

#: Causes that may be gone a moment later without anyone doing anything.
_TRANSIENT = frozenset(
    {
        Cause.METADATA_ABSENT,
        Cause.NETWORK,
        Cause.PROXY,
        Cause.TIMEOUT,
        Cause.ENDPOINT_FAILING,
        Cause.CLOSED,
        Cause.UNUSABLE_TOKEN,
    }
)

_OAUTH_CAUSES = {
    "invalid_client": Cause.CLIENT_REFUSED,
    "unauthorized_client": Cause.CLIENT_REFUSED,
    "deleted_client": Cause.CLIENT_REFUSED,
    "disabled_client": Cause.CLIENT_REFUSED,
    "org_internal": Cause.CLIENT_REFUSED,
    "admin_policy_enforced": Cause.CLIENT_REFUSED,
    "invalid_scope": Cause.SCOPE_REFUSED,
    "access_denied": Cause.SCOPE_REFUSED,
    "internal_failure": Cause.ENDPOINT_FAILING,
    "server_error": Cause.ENDPOINT_FAILING,
    "temporarily_unavailable": Cause.ENDPOINT_FAILING,
    "rate_limit_exceeded": Cause.ENDPOINT_FAILING,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. Holds no secret: ``detail`` is scrubbed by whoever builds it."""

    cause: Cause
    detail: str | None = None

    @property
    def transient(self) -> bool:
        """Whether waiting may mend it; otherwise someone has to act."""
        return self.cause in _TRANSIENT

    def error(self, retry_after: float | None = None) -> CredentialsUnavailable:
        """A new exception to raise; each waiter gets one of its own, so that tracebacks do not pile up on it.

        :param retry_after: seconds until the next attempt; sent to the client only if waiting may help.
        """
        message, hint = _WORDS[self.cause]
        detail = f"{self.cause}: {self.detail}" if self.detail else self.cause.value
        error = CredentialsUnavailable(message, hint=hint, detail=detail)
        if self.transient:
            error.should_retry = True
            error.retry_after = retry_after
        return error


class CredentialProblem(Exception):
    """Raised by a loader that knows what is wrong; the only exception whose content is taken over as it is."""

    def __init__(self, cause: Cause, detail: str | None = None) -> None:
        super().__init__(cause.value)
        self.failure = Failure(cause, detail)


def scrub(text: str) -> str:
    """The text without anything that could be a key, a token, an address or a user name; at most 300 characters.

    Deliberately blunt: any run of 20 characters of the base64 alphabets goes, which takes long paths along.
    """
    clean = _SECRET.sub("[redacted]", _IDENTITY.sub("[redacted]", text))
    return clean.replace("\n", " ")[:_MAX_DETAIL]


def classify(exc: Exception, kind: str | None) -> Failure:
    """What an exception of google-auth or requests means.

    :param kind: the type of the credentials, None if they could not be loaded.
    """
    chain = _chain(exc)
    for link in chain:
        if isinstance(link, CredentialProblem):
            return link.failure
    oauth = _oauth_answer(chain)
    if oauth is not None:
        return _from_answer(oauth, kind)
    return Failure(_from_types(chain, kind), _describe(chain))


def _chain(exc: BaseException) -> list[BaseException]:
    """The exception and those it wraps. google-auth hides the inner one in ``args`` as often as in ``__cause__``."""
    chain: list[BaseException] = []
    queue: list[BaseException] = [exc]
    while queue and len(chain) < 12:
        link = queue.pop(0)
        if not any(link is seen for seen in chain):
            chain.append(link)
            inner = [arg for arg in link.args if isinstance(arg, BaseException)]
            queue.extend([*inner, *(x for x in (link.__cause__, link.__context__) if x is not None)])
    return chain


def _oauth_answer(chain: list[BaseException]) -> dict[str, object] | None:
    """The error document of the endpoint, if one came: RFC 6749 (``error`` is a code) or Google's (an object)."""
    for link in chain:
        if isinstance(link, google.GoogleAuthError) and len(link.args) > 1:
            answer = link.args[1]
            if isinstance(answer, str):
                try:
                    answer = json.loads(answer)
                except ValueError:
                    continue
            if isinstance(answer, dict) and "error" in answer:
                return answer
    return None


def _from_answer(answer: dict[str, object], kind: str | None) -> Failure:
    error = answer["error"]
    description = str(answer.get("error_description") or "")
    if isinstance(error, dict):  # google.rpc.Status, as IAM Credentials answers
        code = _slug(error.get("status"))
        failing = code in {"UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}
        cause = Cause.ENDPOINT_FAILING if failing else Cause.IMPERSONATION
        return Failure(cause, f"{code} from the IAM Credentials API")
    code = _slug(error)
    subtype = _slug(answer.get("error_subtype")) if answer.get("error_subtype") else ""
    detail = scrub(" ".join(part for part in (code, subtype, description) if part))
    if code == "invalid_grant":
        return Failure(_from_invalid_grant(description.lower(), kind), detail)
    unknown = Cause.EXTERNAL_SOURCE if kind == "external_account" else Cause.UNEXPECTED
    return Failure(_OAUTH_CAUSES.get(code, unknown), detail)


def _from_invalid_grant(description: str, kind: str | None) -> Cause:
    """One code for everything; only the description tells a clock from a key."""
    if "short-lived" in description or "timeframe" in description or "'iat'" in description:
        return Cause.CLOCK_SKEW
    if kind == "external_account":
        return Cause.EXTERNAL_SOURCE
    if kind == "service_account" or "jwt" in description:
        return Cause.KEY_REFUSED
    return Cause.LOGIN_EXPIRED


def _from_types(chain: list[BaseException], kind: str | None) -> Cause:
    first = chain[0]
    text = " ".join(arg for arg in first.args if isinstance(arg, str))
    if kind == "metadata_server":
        return Cause.METADATA_ABSENT
    if any(isinstance(link, google.TransportError | http.RequestException) for link in chain):
        return _from_transport(chain)
    if isinstance(first, google.ReauthFailError) or "Reauthentication is needed" in text:
        return Cause.LOGIN_EXPIRED
    if getattr(first, "retryable", False):
        return Cause.ENDPOINT_FAILING
    if kind == "external_account":
        return Cause.EXTERNAL_SOURCE
    if kind is not None and ("No access token" in text or isinstance(first, LookupError | TypeError | ValueError)):
        return Cause.UNUSABLE_TOKEN  # an answer of another shape; google-auth trips over it
    if "impersonated" in text:
        return Cause.IMPERSONATION
    if isinstance(first, google.RefreshError):  # an error page instead of an OAuth document
        return Cause.ENDPOINT_FAILING
    return Cause.UNEXPECTED


def _from_transport(chain: list[BaseException]) -> Cause:
    for kind, cause in (
        (http.ProxyError, Cause.PROXY),
        (http.SSLError, Cause.TLS),
        (http.Timeout, Cause.TIMEOUT),
    ):
        if any(isinstance(link, kind) for link in chain):
            return cause
    return Cause.NETWORK


def _describe(chain: list[BaseException]) -> str:
    """Names of the exceptions, and the words of the operating system if it spoke; never the texts in between."""
    names = " < ".join(type(link).__name__ for link in chain)
    spoken = next((link.strerror for link in chain if isinstance(link, OSError) and link.strerror), None)
    return f"{names}: {scrub(str(spoken))}" if spoken else names


def _slug(value: object) -> str:
    return value if isinstance(value, str) and _SLUG.fullmatch(value) else "unknown_error"
