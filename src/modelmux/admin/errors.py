"""Errors that only the admin API has; all others are those of the gateway. Clients get OpenAI's envelope for all."""

from __future__ import annotations

from typing import Final

from modelmux.accounts.fields import FieldError, RecordConflict
from modelmux.error_kinds import ErrorKind
from modelmux.errors import GatewayError, InvalidRequest, NotPermitted
from modelmux.store.base import QueryTooLong


def _kind(name: str, status: int, type: str = "invalid_request_error", retry_after: float | None = None) -> ErrorKind:
    return ErrorKind(
        name=name, status=status, openai_type=type, openai_code=name, anthropic_type=type, quotes_request=True,
        retry_after=retry_after, should_retry=None if retry_after else False,
    )  # fmt: skip


class NoSuchRecord(GatewayError):
    """404: there is no such record, or the principal may not know of it."""

    kind = _kind("not_found", 404)


class AccountsOff(GatewayError):
    """404: what is asked for is kept with accounts alone, and they are off."""

    kind = _kind("accounts_off", 404)


class PersonUnknown(NotPermitted):
    """403: a proxy has signed in someone who is not a person of this gateway."""


class Conflict(GatewayError):
    """409: not with the records as they are; ``code`` says why."""

    kind = _kind("conflict", 409)


class PreconditionFailed(GatewayError):
    """412: the record is not the one of ``If-Match``."""

    kind = _kind("precondition_failed", 412)


class TooManyCalls(GatewayError):
    """429: the limit of the admin API itself."""

    kind = _kind("rate_limit_exceeded", 429, "rate_limit_error", retry_after=1.0)


class AccountsUnavailable(GatewayError):
    """503: the store cannot be read or written."""

    kind = _kind("accounts_unavailable", 503, "server_error", retry_after=2.0)


class QueryTimeout(GatewayError):
    """503: a query of what is stored took too long, and was ended. Asking the same again takes as long."""

    kind = _kind("query_timeout", 503, "server_error")


def query_timeout(error: QueryTooLong) -> QueryTimeout:
    return QueryTimeout(
        f"The answer took longer than {error.seconds:g} seconds, and was given up.",
        hint="Narrow the range: ask for a shorter period, for fewer groups, or for one key, team or model.",
    )


class WorkerUnavailable(GatewayError):
    """503: the worker that has to answer does not, in time."""

    kind = _kind("worker_unavailable", 503, "server_error", retry_after=2.0)


class SigningKeysUnavailable(GatewayError):
    """503: whether a person is signed in cannot be verified."""

    kind = _kind("signing_keys_unavailable", 503, "server_error", retry_after=5.0)

    @classmethod
    def of(cls, why: str) -> SigningKeysUnavailable:
        """:param why: of the endpoint; the rest of a sentence."""
        return cls(
            f"The public keys of the Identity-Aware Proxy could not be fetched: {why}.",
            hint="Check that this machine reaches admin.iap_keys_url. Until then, tokens of the API and sign-in links "
            "work as before.",
        )


#: Fields of records -> what the API calls them.
_FIELDS: Final = {
    "expires": "expires_at", "rpm": "limits.rpm", "tpm": "limits.tpm", "itpm": "limits.itpm", "otpm": "limits.otpm",
    "concurrent": "limits.concurrent",
}  # fmt: skip


def of_field(error: FieldError) -> GatewayError:
    """The error for a field that cannot be used: 400, or 409 if it is for the records as they are."""
    field = _FIELDS.get(error.field, error.field)
    hint = f"{error.expected[:1].upper()}{error.expected[1:]}"
    hint = hint if hint.endswith(("?", ".")) else f"{hint}."
    message = f"{field}: {error.problem}."
    if isinstance(error, RecordConflict):
        return Conflict(message, param=field, hint=hint, code=error.code)
    return InvalidRequest(message, param=field, hint=hint)


def accounts_off(what: str) -> AccountsOff:
    """:param what: begins a sentence."""
    return AccountsOff(
        f"{what} needs accounts, which are off.",
        hint="Set accounts.enabled = true in the configuration and restart the gateway: docs/accounts.md says what "
        "changes then.",
    )


def no_record(kind: str, id: str, may: str = "see", hint: str = "Check the id.") -> NoSuchRecord:
    """:param kind: ``key`` and so on. :param may: ``see`` or ``change``."""
    return NoSuchRecord(f"There is no {kind} {id[:80]!r} that you may {may}.", param="id", hint=hint)
