"""Tokens are refreshed in the background, one refresh at a time, against a real token endpoint."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.auth.exceptions import TransportError

from modelmux.errors import CredentialsUnavailable
from modelmux.upstream.google_auth import transport
from modelmux.upstream.google_auth.failures import FailureCause
from modelmux.upstream.google_auth.loaders import service_account_file, service_account_info
from modelmux.upstream.google_auth.tokens import EVENT_REFRESH_FAILED, EVENT_REFRESHED, GoogleTokens, StaticToken
from support.clock import Clock
from support.credentials_env import Events, clean_environment, until
from support.token_endpoint import AUDIENCE, EMAIL, SCOPE, TokenEndpoint, private_pem


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean_environment(monkeypatch, tmp_path)


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
async def source(endpoint: TokenEndpoint, clock: Clock, events: Events) -> AsyncIterator[GoogleTokens]:
    source = make(endpoint, clock, events)
    yield source
    await source.aclose()


def make(endpoint: TokenEndpoint, clock: Clock, events: Events, **more: Any) -> GoogleTokens:
    info = service_account_info(endpoint.service_account())
    return GoogleTokens(info, clock=clock, jitter=lambda delay: delay, on_event=events, **more)


def at_once(source: GoogleTokens) -> str:
    """The token, which must be returned without suspending."""
    coroutine = source.token()
    try:
        coroutine.send(None)
    except StopIteration as done:
        return str(done.value)
    coroutine.close()
    raise AssertionError("token() suspended")


async def refusal(source: GoogleTokens) -> CredentialsUnavailable:
    with pytest.raises(CredentialsUnavailable) as caught:
        await source.token()
    return caught.value


# The grant itself


async def test_the_jwt_grant_has_the_claims_google_checks(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    token = await source.token()
    (granted,) = endpoint.issued
    assert granted.token == token
    assert granted.claims is not None
    assert {name: granted.claims[name] for name in ("iss", "aud", "scope")} == {
        "iss": EMAIL,
        "aud": AUDIENCE,
        "scope": SCOPE,
    }
    assert granted.claims["exp"] - granted.claims["iat"] == 3600
    assert (source.project, source.quota_project) == ("some-project", None)


async def test_construction_does_no_io_and_needs_no_loop(tmp_path: Path) -> None:
    threads = threading.active_count()
    source = GoogleTokens(service_account_file(tmp_path / "absent.json"))
    assert threading.active_count() == threads
    assert (source.project, source.quota_project, source.seconds_left) == (None, None, 0.0)
    await source.aclose()


async def test_500_concurrent_callers_cause_one_token_request(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    endpoint.latency = 0.2
    tokens = await asyncio.gather(*(source.token() for _ in range(500)))
    assert set(tokens) == {endpoint.tokens[0]}
    assert len(endpoint.issued) == 1


async def test_a_fresh_token_is_returned_without_suspending(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    token = await source.token()
    assert {at_once(source) for _ in range(1000)} == {token}
    assert len(endpoint.requests) == 1


# Refresh in the background


async def test_at_75_percent_of_the_lifetime_the_old_token_is_returned_and_refreshed_once(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock, events: Events
) -> None:
    first = await source.token()
    clock.advance(0.75 * 3600 - 1)
    assert at_once(source) == first
    assert len(endpoint.requests) == 1

    clock.advance(1)
    endpoint.latency = 0.2
    assert {at_once(source) for _ in range(200)} == {first}
    await until(lambda: len(endpoint.issued) == 2)
    await until(lambda: at_once(source) == endpoint.tokens[1])
    await asyncio.sleep(0.05)
    assert len(endpoint.requests) == 2
    assert [detail["kind"] for detail in events.named(EVENT_REFRESHED)] == ["service_account"] * 2


async def test_an_idle_gateway_refreshes_too(endpoint: TokenEndpoint) -> None:
    """Otherwise the first request after an idle hour would wait for Google."""
    endpoint.expires_in = 1
    source = GoogleTokens(service_account_info(endpoint.service_account()))
    first = await source.token()
    await until(lambda: len(endpoint.issued) == 2, within=1.5)
    await until(lambda: source.seconds_left > 0.7)
    assert at_once(source) == endpoint.tokens[1] != first
    await source.aclose()


async def test_the_lifetime_is_the_one_google_returns(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock
) -> None:
    endpoint.expires_in = 400  # a metadata server hands out tokens that have lived before
    first = await source.token()
    clock.advance(299)
    assert at_once(source) == first
    assert len(endpoint.requests) == 1
    clock.advance(92)  # ten seconds before the end, when a request could arrive too late
    endpoint.expires_in = 3600
    assert await source.token() != first


async def test_a_missing_expiry_means_one_hour_and_a_huge_one_twelve(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock
) -> None:
    endpoint.expires_in = None
    await source.token()
    assert 3580 < source.seconds_left <= 3600
    endpoint.expires_in = 10**9
    clock.advance(3600)
    await source.token()
    assert 12 * 3600 - 20 < source.seconds_left <= 12 * 3600


# Trouble at the endpoint


async def test_an_outage_of_the_endpoint_has_no_effect_until_the_token_expires(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock, events: Events
) -> None:
    first = await source.token()
    endpoint.down = True
    clock.advance(2701)
    waits = []
    for attempt in range(1, 7):
        assert at_once(source) == first
        await until(lambda attempt=attempt: len(events.named(EVENT_REFRESH_FAILED)) == attempt)  # type: ignore[misc]
        failed = events.named(EVENT_REFRESH_FAILED)[-1]
        assert failed["cause"] == "network"
        waits.append(failed["retry_in_s"])
        clock.advance(float(failed["retry_in_s"]) - 0.1)
        assert at_once(source) == first
        assert len(endpoint.requests) == 1 + attempt, "tried again before its time"
        clock.advance(0.1)
    assert waits == [5, 10, 20, 40, 60, 60]

    clock.advance(3590 - (clock.now - 1000))
    error = await refusal(source)
    assert "Could not connect" in error.message
    assert "HTTPS_PROXY" in (error.hint or "")
    assert error.should_retry is True

    endpoint.down = False
    clock.advance(2)
    assert await source.token() == endpoint.tokens[-1] != first
    assert source.last_failure is None


async def test_a_failure_is_cached_for_two_seconds_to_protect_the_endpoint(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock, events: Events
) -> None:
    endpoint.down = True
    errors = await asyncio.gather(*(refusal(source) for _ in range(100)))
    assert len(events.named(EVENT_REFRESH_FAILED)) == 1
    for _ in range(100):
        errors.append(await refusal(source))
    assert len(endpoint.requests) == 1
    assert len({id(error) for error in errors}) == 200, "one exception shared by many callers collects their frames"
    assert errors[-1].retry_after == 2.0
    clock.advance(2.0)
    await refusal(source)
    assert len(endpoint.requests) == 2


async def test_recovery_needs_no_requests(endpoint: TokenEndpoint, clock: Clock, events: Events) -> None:
    source = GoogleTokens(
        service_account_info(endpoint.service_account()), clock=clock, on_event=events, jitter=lambda _: 0.1
    )
    endpoint.down = True
    await refusal(source)
    endpoint.down = False
    await until(lambda: source.seconds_left)
    assert at_once(source) == endpoint.tokens[0]
    await source.aclose()


@pytest.mark.parametrize(
    ("status", "body", "cause", "words"),
    [
        (400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, "key_refused", "new key"),
        (
            400,
            {"error": "invalid_grant", "error_description": "Invalid grant: account not found"},
            "key_refused",
            "key",
        ),
        (
            400,
            {
                "error": "invalid_grant",
                "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                "reasonable timeframe. Check your iat and exp values in the JWT claim.",
            },
            "clock_skew",
            "NTP",
        ),
        (401, {"error": "unauthorized_client", "error_description": "Client is unauthorized"}, "client_refused", ""),
        (400, {"error": "invalid_scope"}, "scope_refused", "gcloud"),
        (404, "<html>nothing here</html>", "endpoint_failing", "status.cloud.google.com"),
        (200, "<html>please log in to this network</html>", "unusable_token", "captive portal"),
        (200, {"token": "of another shape"}, "unusable_token", "token_uri"),
        (200, {"access_token": "two\r\nlines", "expires_in": 60}, "unusable_token", "token_uri"),
        (200, {"access_token": "x", "expires_in": -5}, "clock_skew", "NTP"),
        (200, {"access_token": "x", "expires_in": "soon"}, "unusable_token", "token_uri"),
    ],
)
async def test_each_error_of_the_endpoint_has_a_cause_and_a_remedy(
    endpoint: TokenEndpoint, source: GoogleTokens, status: int, body: object, cause: str, words: str
) -> None:
    endpoint.answer(status, body)
    error = await refusal(source)
    assert source.last_failure is not None
    assert source.last_failure.cause == cause
    assert error.status == 502
    assert words in error.public_message
    assert (error.detail or "").startswith(cause)


async def test_a_rejected_key_that_was_replaced_on_disk_is_reloaded(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account(private_key=private_pem(1))))
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    await refusal(source)
    assert source.last_failure is not None
    assert source.last_failure.cause is FailureCause.KEY_REFUSED
    path.write_text(json.dumps(endpoint.service_account()))
    clock.advance(2)
    assert await source.token() == endpoint.tokens[0]
    await source.aclose()


REFUSED = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}


async def test_a_key_that_was_replaced_is_read_before_anybody_fails(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account()))
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    await source.token()
    clock.advance(3600)
    path.write_text(json.dumps(endpoint.service_account(project_id="rotated-project")))
    await source.token()
    assert source.project == "rotated-project", "without a failure, and without asking with the old key"
    await source.aclose()


async def test_a_new_key_that_is_not_valid_yet_leaves_the_old_one_in_use(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account()))
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    await source.token()
    for content in ("", '{"type": "service_acc', json.dumps(endpoint.service_account(project_id="rotated-project"))):
        clock.advance(3600)
        path.write_text(content)
        if content.endswith("}"):
            endpoint.answer(400, REFUSED)
        await source.token()
        assert source.project != "rotated-project"
    clock.advance(3600)
    await source.token()
    assert source.project == "rotated-project"
    await source.aclose()


async def test_a_key_that_is_refused_is_read_again_at_once(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    """The time and the size of a file may be those of the one before."""
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account()))
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    token = await source.token()
    endpoint.answer(400, REFUSED)
    assert await source.renew(token) != token
    await source.aclose()


async def test_a_failure_is_not_repeated_after_the_file_was_replaced(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    await refusal(source)
    path.write_text(json.dumps(endpoint.service_account()))
    assert await source.token()
    await source.aclose()


async def test_a_key_that_is_replaced_while_the_old_one_is_on_the_wire_is_used(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account(private_key=private_pem(1))))
    endpoint.answer(200, {"access_token": "first", "expires_in": 3600})
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)
    assert await source.token() == "first"
    exchanges = 0
    exchange = transport._RequestWithTimeout.__call__

    def replace_during_the_second(*args: Any, **kwargs: Any) -> Any:
        nonlocal exchanges
        exchanges += 1
        if exchanges == 2:  # the first with the known key, the second after the file was read again
            path.write_text(json.dumps(endpoint.service_account(project_id="rotated-project")))
        return exchange(*args, **kwargs)

    monkeypatch.setattr(transport._RequestWithTimeout, "__call__", replace_during_the_second)
    assert await source.renew("first") == endpoint.tokens[-1]
    assert (source.project, exchanges) == ("rotated-project", 3)
    await source.aclose()


async def test_a_key_that_is_replaced_during_a_transient_failure_is_tried_at_the_next_call(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account()))
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events)

    def replace_and_fail(*_args: Any, **_kwargs: Any) -> Any:
        path.write_text(json.dumps(endpoint.service_account(project_id="rotated-project")))
        raise TransportError("reset")

    with monkeypatch.context() as patch:
        patch.setattr(transport._RequestWithTimeout, "__call__", replace_and_fail)
        await refusal(source)
    assert await source.token() == endpoint.tokens[0], "the clock stands still: the failure is not repeated"
    await source.aclose()


@pytest.mark.parametrize("start", ["", '{"type": "service_acc', None])
async def test_a_refused_key_waits_for_the_new_one_to_be_written(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path, start: str | None
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account(private_key=private_pem(1))))
    endpoint.answer(200, {"access_token": "first", "expires_in": 3600})
    pauses: list[float] = []

    def write_the_rest(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            path.write_text(json.dumps(endpoint.service_account()))

    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events, sleep=write_the_rest)
    await source.token()
    path.unlink() if start is None else path.write_text(start)
    assert await source.renew("first") == endpoint.tokens[-1]
    assert len(pauses) == 2
    await source.aclose()


async def test_a_file_that_stays_unusable_is_waited_for_within_a_limit(
    endpoint: TokenEndpoint, clock: Clock, events: Events, tmp_path: Path
) -> None:
    path = tmp_path / "key.json"
    path.write_text(json.dumps(endpoint.service_account(private_key=private_pem(1))))
    endpoint.answer(200, {"access_token": "first", "expires_in": 3600})
    pauses: list[float] = []
    source = GoogleTokens(service_account_file(path), clock=clock, on_event=events, sleep=pauses.append)
    await source.token()
    path.write_text("{")
    with pytest.raises(CredentialsUnavailable, match="not valid JSON"):
        await source.renew("first")
    assert 0 < sum(pauses) < 1
    requests = len(endpoint.requests)
    with pytest.raises(CredentialsUnavailable, match="not valid JSON"):
        await source.renew("first")
    assert len(endpoint.requests) == requests, "the failure is repeated: the file is what it was"
    await source.aclose()


# Slowness


async def test_a_timed_out_attempt_still_delivers_its_token(
    endpoint: TokenEndpoint, clock: Clock, events: Events
) -> None:
    source = make(endpoint, clock, events, timeout=0.1)
    endpoint.latency = 0.6
    error = await refusal(source)
    assert endpoint.issued == [], "before the token arrived"
    assert "did not respond in time" in error.message
    clock.advance(2)
    await refusal(source)  # joins the thread that is still at it
    assert sum(thread.name == "google-token" for thread in threading.enumerate()) == 1
    await until(lambda: source.seconds_left)
    assert at_once(source) == endpoint.tokens[0]
    assert len(endpoint.requests) == 1
    await source.aclose()


async def test_a_slow_refresh_does_not_block_the_loop(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock
) -> None:
    await source.token()
    clock.advance(2701)
    endpoint.latency = 0.5
    at_once(source)
    turns = 0
    while len(endpoint.issued) < 2:
        await asyncio.sleep(0.002)
        turns += 1
    assert turns > 20, "a blocked loop would run one or two"


# Cancellation and closing


async def test_cancelling_one_caller_does_not_cancel_the_refresh(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    endpoint.latency = 0.2
    callers = [asyncio.create_task(source.token()) for _ in range(3)]
    await asyncio.sleep(0.05)
    callers[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await callers[0]
    assert await callers[1] == await callers[2] == endpoint.tokens[0]
    assert len(endpoint.issued) == 1


async def test_the_refresh_finishes_even_if_all_callers_are_cancelled(
    endpoint: TokenEndpoint, source: GoogleTokens
) -> None:
    endpoint.latency = 0.2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(source.token(), 0.05)
    await until(lambda: source.seconds_left)
    assert at_once(source) == endpoint.tokens[0]


async def test_closing_fails_waiting_callers_and_leaves_no_task(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    endpoint.latency = 0.3
    caller = asyncio.create_task(source.token())
    await asyncio.sleep(0.05)
    await source.aclose()
    await source.aclose()
    with pytest.raises(CredentialsUnavailable, match="shutting down"):
        await caller
    assert asyncio.all_tasks() == {asyncio.current_task()}
    with pytest.raises(CredentialsUnavailable, match="shutting down"):
        await source.token()
    await until(lambda: not any(thread.name == "google-token" for thread in threading.enumerate()))


async def test_a_closed_source_does_not_refresh_again(endpoint: TokenEndpoint) -> None:
    endpoint.expires_in = 1
    source = GoogleTokens(service_account_info(endpoint.service_account()))
    await source.token()
    await source.aclose()
    await asyncio.sleep(0.85)
    assert len(endpoint.requests) == 1


async def test_a_thread_that_cannot_be_started_is_a_failure(
    source: GoogleTokens, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        error = await refusal(source)
    assert "limit of processes" in (error.detail or "")
    clock.advance(2)
    assert await source.token()


# Renewal after Vertex AI refused a token


async def test_100_rejected_requests_renew_once(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    first = await source.token()
    endpoint.latency = 0.1
    renewed = await asyncio.gather(*(source.renew(first) for _ in range(100)))
    assert set(renewed) == {endpoint.tokens[1]}
    assert await source.renew(first) == endpoint.tokens[1], "a straggler gets the token that is there"
    assert len(endpoint.issued) == 2


async def test_other_callers_get_the_current_token_during_a_renewal(
    endpoint: TokenEndpoint, source: GoogleTokens
) -> None:
    first = await source.token()
    endpoint.down = True
    with pytest.raises(CredentialsUnavailable):
        await source.renew(first)
    assert at_once(source) == first


async def test_a_vertex_ai_that_rejects_every_token_does_not_cause_a_token_request_per_request(
    endpoint: TokenEndpoint, source: GoogleTokens, clock: Clock
) -> None:
    second = await source.renew(await source.token())
    for _ in range(20):
        with pytest.raises(CredentialsUnavailable, match="just issued"):
            await source.renew(second)
    assert len(endpoint.issued) == 2
    clock.advance(2)
    assert await source.renew(second) == endpoint.tokens[2]


async def test_an_unchanged_token_is_an_error(endpoint: TokenEndpoint, source: GoogleTokens) -> None:
    endpoint.same_token = True
    first = await source.token()
    with pytest.raises(CredentialsUnavailable, match="same one again"):
        await source.renew(first)


# The static token


async def test_a_static_token_is_returned_unchanged_and_cannot_be_renewed() -> None:
    source = StaticToken(" ya29.CanaryAccessTokenCanary\n")
    assert await source.token() == "ya29.CanaryAccessTokenCanary"
    with pytest.raises(CredentialsUnavailable) as caught:
        await source.renew("ya29.CanaryAccessTokenCanary")
    assert "about an hour" in caught.value.public_message
    assert caught.value.should_retry is False
    assert await source.renew("another") == "ya29.CanaryAccessTokenCanary"
    assert "Canary" not in repr(source)
    await source.aclose()


@pytest.mark.parametrize("text", ["", "  ", "two words-canary", "line\r\nX-Canary: 1", "ünicode-canary"])
def test_an_invalid_static_token_is_rejected_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"auth\.access_token") as caught:
        StaticToken(text)
    assert "anary" not in str(caught.value)
