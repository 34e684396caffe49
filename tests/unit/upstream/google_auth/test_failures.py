"""No text of a failure discloses a secret, and every cause has a message and a remedy."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth import exceptions as google
from requests import exceptions as http

from modelmux.errors import CredentialsUnavailable
from modelmux.upstream.google_auth import failures
from modelmux.upstream.google_auth.failures import FailureCause, TokenFailure, classify, scrub
from modelmux.upstream.google_auth.loaders import Loader, fetch_token, service_account_file, service_account_info
from modelmux.upstream.google_auth.tokens import GoogleTokens
from support.clock import Clock
from support.credentials_env import Events, clean_environment
from support.token_endpoint import CLIENT_SECRET, REFRESH_TOKEN, TokenEndpoint, private_pem


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean_environment(monkeypatch, tmp_path)


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as running:
        yield running


@pytest.mark.parametrize("cause", list(FailureCause))
def test_every_cause_has_a_message_a_remedy_and_its_name_in_the_detail(cause: FailureCause) -> None:
    error = TokenFailure(cause, "more").error(retry_after=1.5)
    assert error.message.endswith(".")
    assert error.hint
    assert error.hint.endswith((".", ")"))
    assert error.detail == f"{cause}: more"
    assert (error.should_retry, error.retry_after) == ((True, 1.5) if TokenFailure(cause).transient else (False, None))


@pytest.mark.parametrize(
    ("exc", "kind", "cause"),
    [
        (google.TransportError(http.ConnectionError("x")), None, FailureCause.NETWORK),
        (google.TransportError(http.ProxyError("x")), "service_account", FailureCause.PROXY),
        (google.TransportError(http.SSLError("x")), "service_account", FailureCause.TLS),
        (google.TransportError(http.ConnectTimeout("x")), "service_account", FailureCause.TIMEOUT),
        (google.RefreshError(google.TransportError("x")), "metadata_server", FailureCause.METADATA_ABSENT),
        (google.RefreshError("text", retryable=True), "service_account", FailureCause.ENDPOINT_FAILING),
        (google.RefreshError("x", {"error": "internal_failure"}), "service_account", FailureCause.ENDPOINT_FAILING),
        (google.RefreshError("x", {"error": 7}), "service_account", FailureCause.UNEXPECTED),
        (google.RefreshError("x", {"error": "invalid_grant"}), "authorized_user", FailureCause.LOGIN_EXPIRED),
        (google.RefreshError("x", {"error": "invalid_grant"}), "external_account", FailureCause.EXTERNAL_SOURCE),
        (google.RefreshError("No access token in response.", {"a": 1}), "service_account", FailureCause.UNUSABLE_TOKEN),
        (google.RefreshError("Unable to acquire impersonated credentials", "<p>"), "x", FailureCause.IMPERSONATION),
        (google.ReauthFailError("x"), "authorized_user", FailureCause.LOGIN_EXPIRED),
        (google.OAuthError("x", "not json"), "external_account", FailureCause.EXTERNAL_SOURCE),
        (RuntimeError("x"), None, FailureCause.UNEXPECTED),
    ],
)
def test_exceptions_are_classified_by_type_and_document(exc: Exception, kind: str | None, cause: FailureCause) -> None:
    assert classify(exc, kind).cause is cause


def test_an_exception_that_contains_itself_causes_no_endless_loop() -> None:
    exc = google.RefreshError("x")
    exc.args = (exc,)
    assert classify(exc, None).cause is FailureCause.ENDPOINT_FAILING


def test_the_message_of_the_operating_system_is_in_the_detail() -> None:
    inner = http.ConnectionError(ConnectionRefusedError(111, "Connection refused"))
    assert "Connection refused" in (classify(google.TransportError(inner), None).detail or "")


@pytest.mark.parametrize(
    "secret",
    [
        private_pem(),
        private_pem().splitlines()[3],
        "ya29.c0AcanaryAcanaryAcanaryAcanary",
        REFRESH_TOKEN,
        CLIENT_SECRET,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJjYW5hcnkifQ.c2lnbmF0dXJlc2lnbmF0dXJl",
        "https://user:canary@proxy.example:3128",
        "canary@some-project.iam.gserviceaccount.com",
    ],
    ids=["key", "line of a key", "access token", "refresh token", "client secret", "assertion", "proxy", "address"],
)
def test_scrubbing_removes_secrets_only(secret: str) -> None:
    clean = scrub(f"It failed: {secret} (Bad Request)")
    assert clean.startswith("It failed: ")
    for part in (*secret.splitlines(), "canary", secret[8:28]):
        assert part not in clean
    assert len(scrub("word " * 1000)) == 300


@pytest.mark.parametrize(
    "page",
    [
        "https://cloud.google.com/docs/authentication/external/set-up-adc",
        "https://support.google.com/a/answer/9368756",
        "https://status.cloud.google.com",
        "https://developers.google.com/identity/protocols/oauth2#offline",
        "https://docs.cloud.google.com/docs/authentication",
        "https://cloud.google.com/vertex-ai/generative-ai/docs/models",
        "https://oauth2.googleapis.com",
    ],
)
@pytest.mark.parametrize("around", ["see {} for more", "see {}.", "({})", "{}"])
def test_scrubbing_leaves_pages_of_google_to_be_read(page: str, around: str) -> None:
    assert scrub(around.format(page)) == around.format(page)


@pytest.mark.parametrize(
    "text",
    [
        "https://cloud.google.com/abcABCDEFGHIJKLMNOPQRST",
        "https://cloud.google.com/abcdefghijklmnopqrstuvwxyz/x",
        "https://cloud.google.com/ab/deadbeefdeadbeefdead12",
        "https://cloud.google.com/docs?token=abcdefghijklmnopqrstu",
        "https://cloud.google.com.example.net/abcdefghijklmnopqrst",
        "https://example.net/google.com/abcdefghijklmnopqrst",
        "about projects/secret-42/locations/eu",
        "https://console.cloud.google.com/iam-admin/secret-42",
        "https://console.cloud.google.com/x/secret?a",
        "(https://console.cloud.google.com?project=secret)",
        "https://cloud.google.com/docs?code=4/secret",
        "https://cloud.google.com/docs/x?code='secret'",
        "https://developers.google.com/identity#code=secret",
        "https://cloud.google.com/iam-admin/secret",
        "https://goo.gle/secret",
        "https://u:p@proxy@example.net/?code=secret",
        "HTTPS://idp.example:8443/u/secret",
        "https://abcdefghijklmnopqrst.example/x",
    ],
)
def test_scrubbing_takes_no_secret_for_a_page(text: str) -> None:
    clean = scrub(text)
    assert "redacted" in clean or "projects/-/" in clean
    for secret in ("ABCDEF", "vwxyz", "deadbeef", "mnopqrst", "secret"):
        assert secret not in clean


def test_scrubbing_leaves_the_host_of_a_url_and_the_page_of_a_query() -> None:
    assert scrub("(see https://idp.example:8443/u/x?y.)") == "(see https://idp.example:8443/[redacted].)"
    assert scrub("https://cloud.google.com/docs/x?hl=en, then") == "https://cloud.google.com/docs/x?[redacted], then"
    assert scrub("Is it https://cloud.google.com/docs?") == "Is it https://cloud.google.com/docs?"


class Recorder:
    """In the place of a pattern: the lengths of the texts that it was applied to."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.lengths = pattern, list[int]()

    def sub(self, replacement: Any, text: str) -> str:
        self.lengths.append(len(text))
        return self.pattern.sub(replacement, text)


@pytest.mark.parametrize("text", ["x" * 1_000_000, "word " * 200_000], ids=["unbroken", "words"])
def test_scrubbing_reads_the_beginning_of_a_long_text_only(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(failures._IDENTITY)
    monkeypatch.setattr(failures, "_IDENTITY", recorder)
    scrub(text)
    assert recorder.lengths
    assert max(recorder.lengths) <= 2048


def test_scrubbing_shows_no_beginning_of_a_word_that_was_cut() -> None:
    text = "A" * 2030 + " user:canary@proxy.example"
    assert len(text) > 2048
    assert scrub(text) == "[redacted]"
    assert scrub("A" * 2000 + " the reason") == "[redacted] the reason"


def everything(error: BaseException) -> str:
    """Everything a logger could print of an exception: texts, attributes, chain, traceback."""
    seen: list[str] = []
    link: BaseException | None = error
    while link is not None:
        seen += [str(link), repr(link), repr(link.args), repr(vars(link))]
        link = link.__cause__ or link.__context__
    return "\n".join([*seen, *traceback.format_exception(error)])


def secrets_of(endpoint: TokenEndpoint) -> list[str]:
    assertions = [granted.assertion for granted in endpoint.issued if granted.assertion]
    lines = [line for line in private_pem().splitlines() if not line.startswith("-")]
    pieces = [piece for assertion in assertions for piece in assertion.split(".")]
    return [*(line[:20] for line in lines), *pieces, *endpoint.tokens, REFRESH_TOKEN, CLIENT_SECRET]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"error": "invalid_grant", "error_description": "I was sent {assertion}"}'),
        (400, '{"error": "{assertion}", "error_description": "x"}'),
        (400, '{"error": "x", "error_subtype": "{assertion}"}'),
        (400, "{assertion}"),
        (200, "{assertion}"),
        (200, '{"id_token": "{assertion}"}'),
        (200, '{"access_token": "{assertion}\\n", "expires_in": 3600}'),
        (200, '{"access_token": "{assertion}", "expires_in": "{assertion}"}'),
        (200, '{"access_token": "{assertion}", "expires_in": -1}'),
    ],
)
async def test_an_endpoint_that_echoes_the_request_discloses_nothing(
    endpoint: TokenEndpoint,
    status: int,
    body: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    clock, events = Clock(), Events()
    source = GoogleTokens(service_account_info(endpoint.service_account()), clock=clock, on_event=events)
    token = await source.token()
    clock.advance(3600)
    endpoint.answer(status, body)
    with pytest.raises(CredentialsUnavailable) as caught:
        await source.token()
    assert (await asyncio.gather(source.renew(token), return_exceptions=True))[0] is not None
    sent = endpoint.issued[0].assertion.split(".")[0]  # the header of the assertion is the same each time
    texts = [everything(caught.value), repr(events.seen), repr(source), repr(source.last_failure), caplog.text]
    texts += [*capfd.readouterr(), str(vars(source)["_loaded"])]
    await source.aclose()
    for secret in (*secrets_of(endpoint), sent, token):
        for text in texts:
            assert secret not in text


@pytest.mark.parametrize("damage", ["", '"', "}", "-----END"])
def test_a_damaged_key_file_is_not_quoted(endpoint: TokenEndpoint, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "key.json"
    text = json.dumps(endpoint.service_account())
    path.write_text(text.replace("-----END", damage) if damage == "-----END" else text[:-40] + damage)
    for loader in (service_account_file(path), service_account_info(path.read_text())):
        outcome = fetch_token(loader, None, time.monotonic)
        if not isinstance(outcome, TokenFailure):
            continue
        output = everything(outcome.error()) + repr(outcome) + repr(loader)
        assert not [secret for secret in secrets_of(endpoint) if secret in output]
    assert "BEGIN" not in repr(service_account_info(text))


def test_an_unexpected_exception_of_a_loader_discloses_only_its_class_name() -> None:
    def loader(_request: object) -> object:
        raise LookupError("canary-secret")

    outcome = fetch_token(_as_loader(loader), None, time.monotonic)
    assert isinstance(outcome, TokenFailure)
    assert outcome == TokenFailure(FailureCause.UNEXPECTED, "LookupError")


def _as_loader(function: object) -> Loader:
    return function  # type: ignore[return-value]


def test_the_repr_of_an_access_token_does_not_contain_it(endpoint: TokenEndpoint) -> None:
    outcome = fetch_token(service_account_info(endpoint.service_account()), None, time.monotonic)
    assert endpoint.tokens[0] not in repr(outcome)
