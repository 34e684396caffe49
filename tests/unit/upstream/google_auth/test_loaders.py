"""Every type of Google credentials yields a token, and every error has a remedy."""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google.auth.compute_engine._metadata as metadata
import pytest
from google.auth import impersonated_credentials
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from modelmux.upstream.google_auth import transport
from modelmux.upstream.google_auth.failures import TokenFailure
from modelmux.upstream.google_auth.loaders import (
    AccessToken,
    LoadedCredentials,
    Loader,
    application_default,
    fetch_token,
    key_file_problems,
    service_account_file,
    service_account_info,
)
from support.credentials_env import clean_environment
from support.token_endpoint import CLIENT_SECRET, EMAIL, REFRESH_TOKEN, SCOPE, TokenEndpoint


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean_environment(monkeypatch, tmp_path / "gcloud")


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenEndpoint]:
    with TokenEndpoint() as running:
        monkeypatch.setattr(user_credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{running.url}/token")
        yield running


@pytest.fixture
def google_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets variables that google-auth reads at import, and makes it read them again."""
    with monkeypatch.context() as patch:

        def apply(**variables: str) -> None:
            for name, value in variables.items():
                patch.setenv(name, value)
            importlib.reload(metadata)

        yield apply
    importlib.reload(metadata)


def grant(loader: Loader) -> AccessToken:
    outcome = fetch_token(loader, None, time.monotonic)
    assert isinstance(outcome, AccessToken), outcome
    return outcome


def failure(loader: Loader) -> TokenFailure:
    outcome = fetch_token(loader, None, time.monotonic)
    assert isinstance(outcome, TokenFailure), outcome
    return outcome


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Service accounts


def test_a_key_may_be_an_object_json_text_or_a_file(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    info = endpoint.service_account()
    for loader in (
        service_account_info(info),
        service_account_info(json.dumps(info)),
        service_account_file(written(tmp_path / "key.json", info)),
        service_account_file(str(tmp_path / "key.json")),
    ):
        got = grant(loader)
        assert got.token == endpoint.tokens[-1]
        assert 3590 < got.lifetime <= 3600
        assert (got.loaded.kind, got.loaded.project) == ("service_account", "some-project")
    assert [granted.grant_type for granted in endpoint.issued] == ["jwt"] * 4


def test_a_key_whose_line_breaks_were_escaped_twice_works(endpoint: TokenEndpoint) -> None:
    """Shells, YAML and secret stores can cause it."""
    info = endpoint.service_account()
    info["private_key"] = info["private_key"].replace("\n", "\\n")
    assert grant(service_account_info(info)).token == endpoint.tokens[0]


def test_credentials_are_loaded_once_and_refreshed_often(endpoint: TokenEndpoint) -> None:
    loads = []
    inner = service_account_info(endpoint.service_account())

    def loader(request: Any) -> LoadedCredentials:
        loads.append(1)
        return inner(request)

    first = fetch_token(loader, None, time.monotonic)
    assert isinstance(first, AccessToken)
    second = fetch_token(loader, first.loaded, time.monotonic)
    assert isinstance(second, AccessToken)
    assert first.token != second.token
    assert len(loads) == 1


def test_the_proxy_of_the_environment_is_used(endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", endpoint.url)
    info = endpoint.service_account(token_uri="http://token.example.invalid/token")
    assert grant(service_account_info(info)).token == endpoint.tokens[0]
    assert endpoint.requests == ["POST http://token.example.invalid/token"]
    monkeypatch.setenv("HTTP_PROXY", "http://user:canary-password@127.0.0.1:1")
    refused = failure(service_account_info(info))
    assert refused.cause == "proxy"
    assert "canary" not in repr(refused)


def test_an_unresponsive_endpoint_is_a_timeout(endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HTTP_TIMEOUT", 0.1)
    endpoint.latency = 0.5
    assert failure(service_account_info(endpoint.service_account())).cause == "timeout"
    assert endpoint.issued == [], "the reply came too late"


# The other kinds


def test_a_gcloud_login_gives_tokens_and_its_quota_project(endpoint: TokenEndpoint) -> None:
    got = grant(service_account_info(endpoint.authorized_user()))
    assert got.loaded.kind == "authorized_user"
    assert got.loaded.credentials.quota_project_id == "quota-project"
    form = endpoint.issued[0].form
    assert form is not None
    assert (form["refresh_token"], form["client_secret"]) == (REFRESH_TOKEN, CLIENT_SECRET)


def test_the_quota_project_of_the_environment_wins(endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "other-quota")
    for info in (endpoint.authorized_user(), endpoint.service_account()):
        assert grant(service_account_info(info)).loaded.credentials.quota_project_id == "other-quota"


@pytest.mark.parametrize("subtype", ["invalid_rapt", "rapt_required"])
def test_a_login_that_requires_reauthentication_names_the_command(endpoint: TokenEndpoint, subtype: str) -> None:
    endpoint.answer(
        400, {"error": "invalid_grant", "error_description": "reauth related error", "error_subtype": subtype}
    )
    got = failure(service_account_info(endpoint.authorized_user()))
    assert got.cause == "login_expired"
    assert "`gcloud auth application-default login`" in got.error().public_message


def test_a_revoked_login_names_the_command(endpoint: TokenEndpoint) -> None:
    endpoint.answer(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
    got = failure(service_account_info(endpoint.authorized_user()))
    assert got.cause == "login_expired"
    assert not got.transient


def workload_identity(endpoint: TokenEndpoint, source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{endpoint.url}/sts",
        "credential_source": source,
        **more,
    }


def test_workload_identity_exchanges_the_token_of_a_file(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    identity = written(tmp_path / "identity", "an-identity-token")
    got = grant(service_account_info(workload_identity(endpoint, {"file": str(identity)})))
    assert got.loaded.kind == "external_account"
    form = endpoint.issued[0].form
    assert form is not None
    assert (form["subject_token"], form["scope"]) == ("an-identity-token", SCOPE)
    identity.unlink()
    assert (
        failure(service_account_info(workload_identity(endpoint, {"file": str(identity)}))).cause == "external_source"
    )


def test_workload_identity_refused_by_sts_says_where_to_look(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    identity = written(tmp_path / "identity", "an-identity-token")
    endpoint.answer(400, {"error": "invalid_target", "error_description": "The target service indicated is invalid."})
    got = failure(service_account_info(workload_identity(endpoint, {"file": str(identity)})))
    assert got.cause == "external_source"
    assert "audience" in got.error().public_message
    assert "invalid_target" in (got.detail or "")


def test_an_executable_source_is_off_unless_the_operator_allows_it(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    source = {"executable": {"command": f"/usr/bin/touch {ran}", "timeout_millis": 5000}}
    got = failure(service_account_info(workload_identity(endpoint, source)))
    assert got.cause == "external_source"
    assert "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES" in got.error().public_message
    assert not ran.exists()


def test_an_aws_identity_loads_and_fails_as_external_away_from_aws(
    endpoint: TokenEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    source = {"environment_id": "aws1", "regional_cred_verification_url": "https://sts.{region}.example.invalid"}
    aws = workload_identity(endpoint, source, subject_token_type="urn:ietf:params:aws:token-type:aws4_request")
    assert failure(service_account_info(aws)).cause == "external_source"


def impersonation(endpoint: TokenEndpoint) -> Loader:
    def load(_request: Any) -> LoadedCredentials:
        source = service_account.Credentials.from_service_account_info(endpoint.service_account(), scopes=[SCOPE])
        override = f"{endpoint.url}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
        return LoadedCredentials(
            impersonated_credentials.Credentials(source, EMAIL, [SCOPE], iam_endpoint_override=override), None
        )

    return load


def test_impersonation_exchanges_the_source_token(endpoint: TokenEndpoint) -> None:
    got = grant(impersonation(endpoint))
    assert got.loaded.kind == "impersonated_service_account"
    assert [granted.grant_type for granted in endpoint.issued] == ["jwt", "impersonation"]
    assert got.token == endpoint.tokens[1]


def test_impersonation_without_the_role_names_the_role(endpoint: TokenEndpoint) -> None:
    outcome = fetch_token(impersonation(endpoint), None, time.monotonic)
    assert isinstance(outcome, AccessToken)
    denied = {"error": {"code": 403, "message": f"denied on {EMAIL}", "status": "PERMISSION_DENIED"}}
    endpoint.answer(403, denied)
    refused = fetch_token(impersonation(endpoint), outcome.loaded, time.monotonic)
    assert isinstance(refused, TokenFailure)
    assert refused.cause == "impersonation_refused"
    assert "roles/iam.serviceAccountTokenCreator" in refused.error().public_message
    assert EMAIL not in repr(refused)
    denied["error"]["status"] = "UNAVAILABLE"
    endpoint.answer(503, denied)
    unavailable = fetch_token(impersonation(endpoint), outcome.loaded, time.monotonic)
    assert isinstance(unavailable, TokenFailure)
    assert unavailable.cause == "endpoint_failing"


def test_an_impersonation_file_loads(endpoint: TokenEndpoint) -> None:
    """Its endpoint is always Google's, so the test covers only the loading and the token of the source."""
    info = {
        "type": "impersonated_service_account",
        "service_account_impersonation_url": f"https://iamcredentials.example/v1/{EMAIL}:generateAccessToken",
        "source_credentials": endpoint.service_account(),
    }
    loaded = service_account_info(info)(object())  # type: ignore[arg-type]  # needs no transport
    assert loaded.kind == "impersonated_service_account"
    assert loaded.credentials.service_account_email == EMAIL
    assert loaded.credentials.has_scopes([SCOPE]) or not loaded.credentials.requires_scopes


# Application Default Credentials


def test_the_default_is_the_file_the_environment_names(
    endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "key.json", endpoint.service_account())
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert grant(application_default()).loaded.project == "some-project"
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project-of-the-environment")
    assert grant(application_default()).loaded.project == "project-of-the-environment"
    path.unlink()
    assert failure(application_default()).cause == "file_missing"


def test_the_default_is_then_the_login_of_gcloud(
    endpoint: TokenEndpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no gcloud to ask for the project
    (tmp_path / "gcloud").mkdir()
    path = tmp_path / "gcloud" / "application_default_credentials.json"
    written(path, endpoint.authorized_user())
    got = grant(application_default())
    assert (got.loaded.kind, got.loaded.credentials.quota_project_id) == ("authorized_user", "quota-project")
    written(path, "{")
    damaged = failure(application_default())
    assert damaged.cause == "malformed"
    assert "gcloud auth application-default login" in damaged.error().public_message


def test_the_default_is_then_the_metadata_server(endpoint: TokenEndpoint, google_cloud: Callable[..., None]) -> None:
    google_cloud(GCE_METADATA_HOST=endpoint.authority, GCE_METADATA_IP=endpoint.authority)
    endpoint.expires_in = 1200  # it hands out what it has in its cache
    got = grant(application_default())
    assert got.token == endpoint.tokens[0]
    assert 1190 < got.lifetime <= 1200
    assert (got.loaded.kind, got.loaded.project) == ("metadata_server", "metadata-project")


def test_a_metadata_server_without_service_account_says_so(
    endpoint: TokenEndpoint, google_cloud: Callable[..., None]
) -> None:
    google_cloud(GCE_METADATA_HOST=endpoint.authority, GCE_METADATA_IP=endpoint.authority)
    endpoint.has_service_account = False
    got = failure(application_default())
    assert got.cause == "metadata_server"
    assert "service account is attached" in got.error().public_message


def test_missing_default_credentials_list_the_remedies(google_cloud: Callable[..., None]) -> None:
    google_cloud(NO_GCE_CHECK="true")
    got = failure(application_default())
    assert got.cause == "no_default_credentials"
    words = got.error().public_message
    for way in ("auth.service_account_file", "GOOGLE_APPLICATION_CREDENTIALS", "gcloud auth application-default login"):
        assert way in words


# What can be wrong with a file


@pytest.mark.parametrize(
    ("content", "cause", "detail"),
    [
        ("", "not_json", "line 1"),
        ("{'type': 'canary'}", "not_json", "line 1, column 2"),
        ("[]", "not_json", "not an array"),
        ("{}", "wrong_type", "no type"),
        ({"type": "canary_type"}, "wrong_type", "canary_type"),
        ({"type": ["service_account"]}, "wrong_type", "no type"),
        ({"installed": {"client_secret": "canary"}}, "wrong_type", "OAuth client secret"),
        ({"type": "service_account"}, "malformed", "missing"),
        ({"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": "canary"}, "malformed", ""),
        ({"type": "service_account", "client_email": "a", "token_uri": "b", "private_key": 7}, "malformed", ""),
        ({"type": "authorized_user", "client_id": "canary"}, "malformed", "missing"),
        ({"type": "external_account"}, "malformed", ""),
        ({"type": "external_account", "credential_source": "canary"}, "malformed", ""),
        ({"type": "impersonated_service_account"}, "malformed", ""),
        ({"type": "external_account_authorized_user"}, "malformed", ""),
    ],
)
def test_each_error_of_a_file_has_a_cause(tmp_path: Path, content: object, cause: str, detail: str) -> None:
    got = failure(service_account_file(written(tmp_path / "key.json", content)))
    assert got.cause == cause
    assert detail in (got.detail or "")
    assert not got.transient
    text = content if isinstance(content, str) else json.dumps(content)
    assert failure(service_account_info(text)).cause == cause


def test_a_missing_file_a_folder_and_a_binary_file(tmp_path: Path) -> None:
    absent = failure(service_account_file(tmp_path / "absent.json"))
    assert absent.cause == "file_missing"
    assert "absent.json" in (absent.detail or "")
    assert "absent.json" not in absent.error().public_message, "paths are for the operator's log"
    assert failure(service_account_file(tmp_path)).cause == "file_unreadable"
    (tmp_path / "key.p12").write_bytes(b"\x30\x82\xff\xfe")
    assert failure(service_account_file(tmp_path / "key.p12")).cause == "not_json"


def test_key_file_problems_are_reported_before_the_first_request(tmp_path: Path) -> None:
    path = written(tmp_path / "key.json", "{}")
    path.chmod(0o600)
    assert key_file_problems(path) == []
    path.chmod(0o640)
    (problem,) = key_file_problems(os.fspath(path))
    assert "0640" in problem
    assert "chmod 600" in problem
    assert "not a file" in key_file_problems(tmp_path)[0]
    assert "No such file" in key_file_problems(tmp_path / "absent")[0]
