"""Google credentials: where they come from, and whether an access token can be had with them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

from modelmux.app import credential_loader
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.config import Loaded
from modelmux.upstream.google_auth.failures import Cause, Failure
from modelmux.upstream.google_auth.loaders import Grant, acquire
from modelmux.upstream.google_auth.tokens import StaticToken

#: Seconds for all of it; looking for a metadata server that is not there takes longest.
_PATIENCE: Final = 30.0


def check_credentials(subject: DoctorContext) -> Iterator[Result]:
    """Mints a token, and keeps it for the checks that need one."""
    loaded = subject.loaded
    if loaded is None:
        return
    auth = loaded.config.auth
    yield Result("source", "ok", _source(loaded, subject.process))
    if auth.access_token is not None:
        try:
            StaticToken(auth.access_token.reveal())
        except ValueError as error:
            yield Result("access token", "fail", str(error), "copy it again: gcloud auth print-access-token")
            return
        subject.token = auth.access_token.reveal().strip()
        subject.quota_project = subject.process.get("GOOGLE_CLOUD_QUOTA_PROJECT")
        found = "auth.access_token is given; it cannot be renewed and lasts about an hour"
        yield Result("access token", "warn", found, "for more than a trial set auth.service_account_file instead")
        return
    began = time.monotonic()
    got = _acquire_within(loaded, _PATIENCE)
    took = round(1000 * (time.monotonic() - began))
    if isinstance(got, Failure):
        failure = got.error()
        told = failure.message.rstrip(".")
        found = told if got.cause is Cause.NO_DEFAULT else f"{told} ({failure.detail})"
        yield Result("access token", "fail", found, failure.hint, took)
        return
    subject.token = got.token
    named = subject.process.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    subject.quota_project = named or getattr(got.loaded.credentials, "quota_project_id", None)
    found = f"minted with {got.loaded.kind.replace('_', ' ')}, valid for {got.life / 60:.0f} min"
    yield Result("access token", "ok", found, ms=took)


def _acquire_within(loaded: Loaded, seconds: float) -> Grant | Failure:
    """``acquire`` in a thread that may be left behind: some of google-auth's waits have no bound of their own."""
    got: list[Grant | Failure] = []
    loader = credential_loader(loaded.config.auth)
    thread = threading.Thread(target=lambda: got.append(acquire(loader, None, time.monotonic)), daemon=True)
    thread.start()
    thread.join(seconds)
    return got[0] if got else Failure(Cause.TIMEOUT, f"no answer within {seconds:.0f} s")


def _source(loaded: Loaded, environment: Mapping[str, str]) -> str:
    for name in ("access_token", "service_account_json", "service_account_file"):
        if getattr(loaded.config.auth, name) is not None:
            return f"auth.{name} ({loaded.origin(('auth', name))})"
    if environment.get("GCE_METADATA_HOST"):
        return "Application Default Credentials; GCE_METADATA_HOST names a metadata server"
    return "Application Default Credentials: gcloud's file, else the metadata server of Google Cloud"
