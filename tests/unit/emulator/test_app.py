"""The paths the emulator serves, and the log of its requests."""

from __future__ import annotations

import pytest

from support.emulator_calls import MODEL, ask, body_of, emulator, send

FLAVOR = {"metadata-flavor": "Google"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/", 200),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/projects/p/locations/global/publishers/anthropic/models", 404),
        ("GET", f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:rawPredict", 404),
        ("POST", f"/v1/projects/p/locations/global/publishers/anthropic/models/{MODEL}:predict", 404),
        ("POST", "/v1/messages", 404),
    ],
)
async def test_paths(method: str, path: str, status: int) -> None:
    answer = await send(emulator(), method, path, b"{}", {"authorization": "Bearer t"})
    assert answer.status == status
    if status == 404:
        assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/computeMetadata/v1/project/project-id", b"mine"),
        ("/computeMetadata/v1/universe/universe-domain", b"googleapis.com"),
        ("/computeMetadata/v1/instance/service-accounts/default/email", b"emulator@modelmux.iam.gserviceaccount.com"),
        ("/", b"computeMetadata/\n"),
    ],
)
async def test_metadata(path: str, body: bytes) -> None:
    answer = await send(emulator(projects=("mine",)), "GET", path, headers=FLAVOR)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["metadata-flavor"] == "Google"


async def test_metadata_requires_its_header_and_serves_its_paths() -> None:
    token = "/computeMetadata/v1/instance/service-accounts/default/token"
    assert (await send(emulator(), "GET", token)).status == 403
    assert (await send(emulator(), "GET", "/computeMetadata/v1/nowhere", headers=FLAVOR)).status == 404
    issued = (await send(emulator(), "GET", token, headers=FLAVOR)).json
    assert set(issued) == {"access_token", "expires_in", "token_type"}
    about = "/computeMetadata/v1/instance/service-accounts/default/?recursive=true"
    assert (await send(emulator(), "GET", about, headers=FLAVOR)).json["aliases"] == ["default"]


async def test_requests_are_logged_exactly_and_without_the_token() -> None:
    app = emulator()
    body = body_of("grüße", system="s")
    await ask(app, body, betas="interleaved-thinking-2025-05-14", token="very-secret")
    await ask(app, body_of(stream=True))
    await ask(app, body_of(n=1))
    answer = await send(app, "GET", "/_emulator/requests")
    first, second, third = answer.json["requests"]
    assert first["body"] == body
    assert list(first["body"]) == list(body)
    assert first["headers"]["anthropic-beta"] == "interleaved-thinking-2025-05-14"
    assert b"very-secret" not in answer.body
    assert (first["status"], first["outcome"], first["events"]) == (200, "complete", 0)
    assert second["events"] > 4
    assert (third["status"], third["outcome"]) == (400, "refused")
    assert [r["number"] for r in (first, second, third)] == [1, 2, 3]
    assert (await send(app, "POST", "/_emulator/reset")).status == 200
    assert (await send(app, "GET", "/_emulator/requests")).json == {"requests": []}
