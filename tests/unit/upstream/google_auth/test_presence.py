"""Credentials that are plainly missing are told of at the start; where nothing is certain, nothing is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelmux.config.schema import AuthConfig
from modelmux.config.values import Secret
from modelmux.upstream.google_auth.presence import find_credential_problem

LOGIN = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "r"}


@pytest.fixture(autouse=True)
def no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))


def cause(auth: AuthConfig, product: Path = Path("/nonexistent"), **environment: str) -> str | None:
    failure = find_credential_problem(auth, environment, product)
    return failure.cause.value if failure is not None else None


def test_a_token_is_enough() -> None:
    assert cause(AuthConfig(access_token=Secret("t"))) is None


def test_a_file_is_read_and_parsed(tmp_path: Path) -> None:
    file = tmp_path / "key.json"
    auth = AuthConfig(service_account_file=str(file))
    assert cause(auth) == "file_missing"
    file.write_text("{")
    assert cause(auth) == "not_json"
    file.write_text('{"type": "something"}')
    assert cause(auth) == "wrong_type"
    file.write_text(json.dumps(LOGIN))
    assert cause(auth) is None


def test_a_pipe_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe can be read once, and this one has no writer, so reading it would never end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert cause(AuthConfig(service_account_file=str(pipe))) is None
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(pipe))
    assert cause(AuthConfig(), GOOGLE_APPLICATION_CREDENTIALS=str(pipe)) is None


def test_inline_credentials_are_parsed() -> None:
    assert cause(AuthConfig(service_account_json=Secret("{}"))) == "wrong_type"
    assert cause(AuthConfig(service_account_json=Secret(json.dumps(LOGIN)))) is None


def test_without_anything_there_are_none() -> None:
    assert cause(AuthConfig()) == "no_default_credentials"


def test_gclouds_file_and_the_one_of_the_environment_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gcloud").mkdir()
    (tmp_path / "gcloud" / "application_default_credentials.json").write_text(json.dumps(LOGIN))
    assert cause(AuthConfig()) is None
    missing = str(tmp_path / "missing.json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", missing)
    assert cause(AuthConfig(), GOOGLE_APPLICATION_CREDENTIALS=missing) == "file_missing"


@pytest.mark.parametrize("variable", ["GCE_METADATA_HOST", "K_SERVICE", "KUBERNETES_SERVICE_HOST"])
def test_where_a_metadata_server_may_be_nothing_is_said(variable: str) -> None:
    assert cause(AuthConfig(), **{variable: "x"}) is None


def test_on_compute_engine_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("Google Compute Engine\n")
    assert cause(AuthConfig(), tmp_path / "name") is None
    (tmp_path / "name").write_text("Laptop\n")
    assert cause(AuthConfig(), tmp_path / "name") == "no_default_credentials"
