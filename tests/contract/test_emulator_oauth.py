"""google-auth's own credentials get their tokens from the emulator, which rejects what Google rejects."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import google.auth.exceptions
import google.oauth2.credentials
import pytest
from anthropic import AnthropicVertex
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from modelmux.emulator import EmulatorSettings
from modelmux.emulator.oauth import AUDIENCE, SCOPE
from support.clock import Clock
from support.emulator_calls import EmulatorReply, ask, body_of, emulator, send
from support.emulator_server import ThreadedEmulator, threaded

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FORM = {"content-type": "application/x-www-form-urlencoded"}
EMAIL = "gateway@project-1.iam.gserviceaccount.com"


def _pair() -> tuple[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


PRIVATE, PUBLIC = _pair()


@pytest.fixture
def server() -> Iterator[ThreadedEmulator]:
    with threaded(EmulatorSettings(tokens_per_second=0, require_token=True, public_key=PUBLIC)) as running:
        yield running


def account(server: ThreadedEmulator, private: str = PRIVATE) -> Any:
    info = {
        "type": "service_account",
        "project_id": "project-1",
        "private_key_id": "k1",
        "private_key": private,
        "client_email": EMAIL,
        "token_uri": f"{server.base_url}/token",
    }
    return service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])


def client(server: ThreadedEmulator, credentials: Any) -> AnthropicVertex:
    return AnthropicVertex(
        base_url=f"{server.base_url}/v1", project_id="p", region="global", credentials=credentials, max_retries=0
    )


def hello(client: AnthropicVertex) -> str:
    message = client.messages.create(
        model="claude-opus-4-6", max_tokens=100, messages=[{"role": "user", "content": "Hello"}]
    )
    return str(message.stop_reason)


def test_a_service_account_gets_a_token_that_is_accepted(server: ThreadedEmulator) -> None:
    with client(server, account(server)) as vertex:
        assert hello(vertex) == "end_turn"


def test_a_key_of_another_account_is_rejected(server: ThreadedEmulator) -> None:
    other, _ = _pair()
    with pytest.raises(google.auth.exceptions.RefreshError, match="Invalid JWT Signature"):
        account(server, other).refresh(Request())


def test_user_credentials_are_refreshed(server: ThreadedEmulator) -> None:
    credentials = google.oauth2.credentials.Credentials(
        None,
        refresh_token="r",
        client_id="c",
        client_secret="s",
        token_uri=f"{server.base_url}/token",
    )
    with client(server, credentials) as vertex:
        assert hello(vertex) == "end_turn"


def test_the_metadata_server_hands_out_tokens(server: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth import compute_engine
    from google.auth.compute_engine import _metadata

    host = server.base_url.removeprefix("http://")
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", host)
    credentials = compute_engine.Credentials()
    credentials.refresh(Request())
    assert credentials.token.startswith("ya29.")
    with AnthropicVertex(
        base_url=f"{server.base_url}/v1", project_id="p", region="global", access_token=credentials.token
    ) as vertex:
        assert hello(vertex) == "end_turn"


def test_a_token_that_was_not_issued_here_is_rejected(server: ThreadedEmulator) -> None:
    with (
        AnthropicVertex(
            base_url=f"{server.base_url}/v1", project_id="p", region="global", access_token="made-up", max_retries=0
        ) as vertex,
        pytest.raises(anthropic.AuthenticationError, match="invalid authentication credentials"),
    ):
        hello(vertex)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    fields = {"iss": EMAIL, "aud": AUDIENCE, "iat": now, "exp": now + 3600, "scope": SCOPE, **changes}
    return {k: v for k, v in fields.items() if v is not None}


async def grant(assertion: str, app: Any = None, **form: str) -> EmulatorReply:
    fields = {"grant_type": GRANT, "assertion": assertion, **form}
    body = "&".join(f"{k}={v}" for k, v in fields.items() if v)
    return await send(app or emulator(public_key=PUBLIC), "POST", "/token", body.encode(), {**FORM, "host": "emulator"})


def signed(**changes: Any) -> str:
    token: bytes = jwt.encode(crypt.RSASigner.from_string(PRIVATE), claims(**changes))
    return token.decode()


async def test_a_valid_assertion_is_accepted() -> None:
    answer = await grant(signed())
    assert answer.status == 200
    assert answer.json["token_type"] == "Bearer"
    assert answer.json["expires_in"] == 3600
    assert answer.json["access_token"].startswith("ya29.")


async def test_its_own_address_is_an_audience_too() -> None:
    assert (await grant(signed(aud="http://emulator/token"))).status == 200


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"aud": "https://elsewhere.example/token"}, "invalid_grant", "Failed audience check"),
        ({"iss": None}, "invalid_grant", "account not found"),
        ({"scope": None}, "invalid_scope", "Invalid OAuth scope"),
        ({"exp": 100}, "invalid_grant", "short-lived token"),
        ({"iat": lambda now: now + 900}, "invalid_grant", "short-lived token"),
        ({"exp": lambda now: now + 9000}, "invalid_grant", "short-lived token"),
        ({"iat": "now"}, "invalid_grant", "short-lived token"),
    ],
)
async def test_wrong_claims_are_rejected(changes: dict[str, Any], error: str, words: str) -> None:
    now = int(time.time())  # not when the tests were collected: a long run starts this one much later
    answer = await grant(signed(**{name: value(now) if callable(value) else value for name, value in changes.items()}))
    assert answer.status == 400
    assert answer.json["error"] == error
    assert words in answer.json["error_description"]


def _part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("assertion", "words"),
    [
        ("", "Missing required parameter: assertion"),
        ("only.two", "three parts"),
        ("!!.??.--", "cannot be decoded"),
        (f"{_part([])}.{_part({})}.x", "must be objects"),
        (f"{_part({'alg': 'none'})}.{_part(claims())}.", "unsupported algorithm"),
        (f"{_part({'alg': 'RS256'})}.{_part(claims())}.AAAA", "Invalid JWT Signature"),
        (f"{_part({'alg': 'RS256'})}.{_part(claims())}.A", "Invalid JWT Signature"),
    ],
)
async def test_a_malformed_assertion_is_rejected(assertion: str, words: str) -> None:
    answer = await grant(assertion)
    assert answer.status == 400
    assert words in answer.json["error_description"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token", "client_id": "c"}, "invalid_request"),
    ],
)
async def test_other_grants_are_rejected(form: dict[str, str], error: str) -> None:
    answer = await grant(signed(), **form)
    assert (answer.status, answer.json["error"]) == (400, error)


async def test_the_form_must_be_a_form() -> None:
    answer = await send(emulator(), "POST", "/token", b"{}", {"content-type": "application/json"})
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert (await send(emulator(), "GET", "/token")).status == 405


async def test_tokens_expire() -> None:
    from modelmux.emulator import create_emulator

    clock = Clock(1e9)
    settings = EmulatorSettings(tokens_per_second=0, require_token=True, token_lifetime=100)
    app = create_emulator(settings, clock=clock)
    form = b"grant_type=refresh_token&client_id=c&client_secret=s&refresh_token=r"
    issued = (await send(app, "POST", "/token", form, FORM)).json
    assert issued["expires_in"] == 100
    token = issued["access_token"]
    assert (await ask(app, body_of(), token=token)).status == 200
    clock.now += 101
    refused = await ask(app, body_of(), token=token)
    assert refused.status == 401
    assert refused.json["error"]["status"] == "UNAUTHENTICATED"
    assert refused.json["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


async def test_a_call_without_a_token_is_rejected_in_both_shapes() -> None:
    unary = await ask(emulator(), body_of(), token=None)
    streaming = await ask(emulator(), body_of(stream=True), token=None)
    assert unary.status == streaming.status == 401
    assert unary.json["error"]["details"][0]["reason"] == "CREDENTIALS_MISSING"
    assert isinstance(streaming.json, list)
