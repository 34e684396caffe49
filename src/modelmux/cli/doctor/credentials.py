"""Google credentials: where they come from, and whether an access token can be obtained with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.config import Loaded
from modelmux.upstream.google_auth.configured import credential_loader
from modelmux.upstream.google_auth.failures import FailureCause, TokenFailure
from modelmux.upstream.google_auth.loaders import AccessToken, fetch_token
from modelmux.upstream.google_auth.tokens import StaticToken
from modelmux.upstream.trust import Trust

#: Seconds for the whole check; probing for a missing metadata server takes longest.
_TIMEOUT: Final = 30.0
#: What the check of the file reports as well.
_OF_FILE: Final = (FailureCause.FILE_MISSING, FailureCause.FILE_UNREADABLE)


def check_credentials(context: DoctorContext) -> Iterator[Result]:
    """Obtains a token, and stores it for the checks that need one."""
    loaded = context.loaded
    if loaded is None:
        return
    auth = loaded.config.auth
    yield Result("source", "ok", _source(loaded, context.process))
    if auth.access_token is not None:
        try:
            StaticToken(auth.access_token.reveal())
        except ValueError as error:
            yield Result("access token", "fail", str(error), "copy it again: gcloud auth print-access-token")
            return
        context.token = auth.access_token.reveal().strip()
        context.quota_project = context.process.get("GOOGLE_CLOUD_QUOTA_PROJECT")
        detail = "auth.access_token is set; it cannot be renewed and lasts about an hour"
        yield Result("access token", "warn", detail, "for more than a trial, set auth.service_account_file instead")
        return
    if context.broken is not None:
        yield context.skipped("access token")
        return
    started = time.monotonic()
    outcome = _acquire_within(loaded, context.trust, _TIMEOUT)
    elapsed_ms = round(1000 * (time.monotonic() - started))
    if isinstance(outcome, TokenFailure):
        failure = outcome.error()
        message = failure.message.rstrip(".")
        detail = message if outcome.cause is FailureCause.NO_DEFAULT else f"{message} ({failure.detail})"
        repeats = context.reported_credentials and outcome.cause in _OF_FILE
        yield Result("access token", "fail", detail, failure.hint, elapsed_ms, repeats)
        return
    context.token = outcome.token
    named = context.process.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    context.quota_project = named or getattr(outcome.loaded.credentials, "quota_project_id", None)
    detail = f"obtained with {outcome.loaded.kind.replace('_', ' ')}, valid for {outcome.lifetime / 60:.0f} min"
    yield Result("access token", "ok", detail, ms=elapsed_ms)


def _acquire_within(loaded: Loaded, trust: Trust, seconds: float) -> AccessToken | TokenFailure:
    """``fetch_token`` in a thread that may be abandoned: some of google-auth's waits are not bounded."""
    outcomes: list[AccessToken | TokenFailure] = []
    loader = credential_loader(loaded.config.auth)
    thread = threading.Thread(
        target=lambda: outcomes.append(fetch_token(loader, None, time.monotonic, trust)), daemon=True
    )
    thread.start()
    thread.join(seconds)
    return outcomes[0] if outcomes else TokenFailure(FailureCause.TIMEOUT, f"no answer within {seconds:.0f} s")


def _source(loaded: Loaded, environment: Mapping[str, str]) -> str:
    for name in ("access_token", "service_account_json", "service_account_file"):
        if getattr(loaded.config.auth, name) is not None:
            return f"auth.{name} ({loaded.origin(('auth', name))})"
    if environment.get("GCE_METADATA_HOST"):
        return "would be Application Default Credentials; GCE_METADATA_HOST is the metadata server"
    return "would be Application Default Credentials: gcloud's file, else the metadata server of Google Cloud"
