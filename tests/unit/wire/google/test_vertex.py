"""URLs of Vertex AI: a wrong host or path is a 404 without an explanation."""

from __future__ import annotations

import pytest

from modelmux.wire.google.vertex import base_url, host_for, model_path, strip_verb, verb


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
        ("europe-west1", "europe-west1-aiplatform.googleapis.com"),
    ],
)
def test_every_kind_of_location_has_its_own_host(location: str, host: str) -> None:
    assert host_for(location) == host
    assert base_url(location) == f"https://{host}"


def test_a_path_is_percent_encoded_except_for_colon_and_at() -> None:
    assert model_path("p-1", "us-east5", "anthropic", "claude-sonnet-4-5@20250929") == (
        "/v1/projects/p-1/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929"
    )
    assert model_path("example.com:p", "a/b", "c?d", "../e#f") == (
        "/v1/projects/example.com:p/locations/a%2Fb/publishers/c%3Fd/models/..%2Fe%23f"
    )


@pytest.mark.parametrize("suffix", ["", ":rawPredict", ":streamRawPredict"])
def test_a_url_with_or_without_its_verb(suffix: str) -> None:
    assert strip_verb(f"https://h/models/m@1{suffix}") == "https://h/models/m@1"


def test_verbs() -> None:
    assert (verb(stream=False), verb(stream=True)) == (":rawPredict", ":streamRawPredict")
