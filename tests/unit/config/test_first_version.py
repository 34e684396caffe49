"""What users of ModelMux 1.x have loads unchanged: a file with all its keys, ``.env``, the service's file."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path

import pytest

from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, Loaded, build_routes, load_all
from modelmux.config.streaming import build_stream_modes
from modelmux.routing.routes import Routes
from modelmux.upstream.google_auth.configured import credential_loader
from modelmux.upstream.google_auth.failures import CredentialProblem, FailureCause

ALL_KEYS = """\
# every key of 1.x
[server]
port = 3000
log_level = "info"
enable_retries = true
max_retry_attempts = 3

[auth]
service_account_file = "~/.config/modelmux/service-account.json"

[streaming]
mode = "auto"
buffer_size = 65536
chunk_timeout_ms = 5000

[vertex]
project = "my-gcp-project"
region = "europe-west1"
location = "europe-west1"
publisher = "anthropic"
model = "claude-sonnet-4@20250514"

[[vertex.models]]
name = "sonnet"
model = "claude-sonnet-4-5@20250929"

[[vertex.models]]
name = "Opus"
model_id = "claude-opus-4-1@20250805"
region = "global"
location = "global"

[[vertex.models]]
name = "elsewhere"
model = "claude-3-5-haiku@20241022"
project_id = "other-project"
region = "us-east5"
location = "us-east5"
publisher = "anthropic"

[[vertex.models]]
name = "by-url"
url = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-4@20250514:rawPredict"
"""
HOST = "https://europe-west1-aiplatform.googleapis.com/v1/projects/my-gcp-project/locations/europe-west1"


def loaded(home: Path, text: str = "", dotenv: str = "", system: str = "", **environment: str) -> Loaded:
    file = home / ".config" / "modelmux" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    (home / ".env").write_text(dotenv)
    (home / "system.toml").write_text(system)
    return load_all(
        environment={"HOME": str(home), **environment}, dotenv=home / ".env", system_file=home / "system.toml"
    )


def routes(config: Config) -> Routes:
    build_stream_modes(config)
    return build_routes(config, builtin(), date(2026, 12, 1))


def url(found: Routes, name: str) -> str:
    return found.find(name).deployments[0].url


def test_a_file_with_every_key(tmp_path: Path) -> None:
    done = loaded(tmp_path, ALL_KEYS)
    file = tmp_path / ".config" / "modelmux" / "config.toml"
    assert done.warnings == [
        f"{file}:5: server.enable_retries is deprecated and has no effect here; remove it",
        f"{file}:6: server.max_retry_attempts is deprecated; set retries.max instead",
        f"{file}:14: streaming.chunk_timeout_ms is deprecated; set streaming.buffer_timeout = 5 instead",
    ]
    config = done.config
    assert (config.server.port, config.server.log_level, config.streaming.mode) == (3000, "info", "auto")
    assert config.retries.max == 3
    assert (config.streaming.buffer_size, config.streaming.buffer_timeout) == (65536, 5)
    assert config.auth.service_account_file == "~/.config/modelmux/service-account.json"
    found = routes(config)
    assert found.default_names == ["claude-sonnet-4", "sonnet", "Opus", "elsewhere", "by-url"]
    base = f"{HOST}/publishers/anthropic/models"
    assert url(found, "claude-sonnet-4") == f"{base}/claude-sonnet-4@20250514"
    assert url(found, "SONNET") == f"{base}/claude-sonnet-4-5@20250929"
    assert url(found, "opus") == (
        "https://aiplatform.googleapis.com/v1/projects/my-gcp-project/locations/global/publishers/anthropic/models/"
        "claude-opus-4-1@20250805"
    )
    assert "/projects/other-project/locations/us-east5/" in url(found, "elsewhere")
    assert url(found, "by-url").endswith(
        "/projects/p/locations/us-east5/publishers/anthropic/models/claude-opus-4@20250514"
    )


@pytest.mark.parametrize("old", ["project_id", "project"])
@pytest.mark.parametrize("model", ["model_id", "model"])
def test_both_names_of_the_keys(old: str, model: str, tmp_path: Path) -> None:
    place = "region = 'us-east5'\nlocation = 'us-east5'\npublisher = 'anthropic'"
    text = f"[vertex]\n{old} = 'p'\n{place}\n{model} = 'claude-sonnet-4@20250514'\n"
    assert "/projects/p/locations/us-east5/" in url(routes(loaded(tmp_path, text).config), "claude-sonnet-4")


DOTENV = """\
# Google Cloud
LLM_PROVIDER=vertex
VERTEX_PROJECT=my-gcp-project
VERTEX_REGION=europe-west1
VERTEX_LOCATION=europe-west1
VERTEX_PUBLISHER=anthropic
VERTEX_MODEL_ID=claude-sonnet-4@20250514
LLM_MODEL_DISPLAY_NAME="my-sonnet"

MODELMUX_SERVER_PORT=8080
MODELMUX_SERVER_LOG_LEVEL=debug
MODELMUX_SERVER_ENABLE_RETRIES=false
MODELMUX_SERVER_MAX_RETRY_ATTEMPTS=5
export MODELMUX_AUTH_SERVICE_ACCOUNT_FILE='/keys/key.json'
MODELMUX_STREAMING_MODE=non-streaming
MODELMUX_STREAMING_BUFFER_SIZE=32768
MODELMUX_STREAMING_CHUNK_TIMEOUT_MS=2500
"""


def test_the_variables_of_a_dotenv_file(tmp_path: Path) -> None:
    done = loaded(tmp_path, dotenv=DOTENV)
    assert done.warnings == [
        "MODELMUX_SERVER_ENABLE_RETRIES is deprecated; set MODELMUX_RETRIES_MAX = 0 instead",
        (
            "MODELMUX_SERVER_MAX_RETRY_ATTEMPTS is deprecated and ignored, because MODELMUX_SERVER_ENABLE_RETRIES is "
            "also set; remove it"
        ),
        "MODELMUX_STREAMING_CHUNK_TIMEOUT_MS is deprecated; set MODELMUX_STREAMING_BUFFER_TIMEOUT = 2.5 instead",
    ]
    config = done.config
    assert (config.server.port, config.server.log_level) == (8080, "debug")
    assert config.retries.max == 0
    assert (config.streaming.mode, config.streaming.buffer_size) == ("single", 32768)
    assert config.streaming.buffer_timeout == 2.5
    assert config.auth.service_account_file == "/keys/key.json"
    found = routes(config)
    assert found.default_names == ["my-sonnet"]
    assert url(found, "My-Sonnet") == f"{HOST}/publishers/anthropic/models/claude-sonnet-4@20250514"


@pytest.mark.parametrize("suffix", ["", ":rawPredict", ":streamRawPredict"])
def test_a_whole_url_wins_over_the_parts(suffix: str, tmp_path: Path) -> None:
    whole = f"{HOST}/publishers/anthropic/models/claude-opus-4-1@20250805"
    config = loaded(tmp_path, ALL_KEYS, LLM_URL=whole + suffix, LLM_MODEL="old-name").config
    assert url(routes(config), "old-name") == whole


def test_deprecated_variables_work_with_a_warning(tmp_path: Path) -> None:
    key = json.dumps({"type": "service_account", "project_id": "p"})
    encoded = base64.b64encode(key.encode()).decode()
    done = loaded(tmp_path, SERVICE, PORT="4000", GCP_SERVICE_ACCOUNT_KEY=encoded)
    assert done.config.server.port == 4000
    assert done.config.auth.service_account_json is not None
    assert done.config.auth.service_account_json.reveal() == key
    assert done.warnings == [
        "PORT is deprecated; set MODELMUX_SERVER_PORT instead",
        "GCP_SERVICE_ACCOUNT_KEY is deprecated; set MODELMUX_AUTH_SERVICE_ACCOUNT_JSON instead",
    ]


def test_the_present_name_wins_over_the_deprecated_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, PORT="4000", MODELMUX_SERVER_PORT="5000").config.server.port == 5000


def test_another_provider_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, LLM_PROVIDER="openai")
    assert caught.value.problems == ["environment LLM_PROVIDER: provider: 'openai' is a string; expected vertex"]


SERVICE = """\
# /etc/modelmux/config.toml of the systemd service
[server]
port = 3000
log_level = "info"

[auth]
service_account_file = "~/service-account.json"

[vertex]
project = "my-gcp-project"
region = "us-east5"
location = "us-east5"
publisher = "anthropic"
model = "claude-sonnet-4@20250514"

[streaming]
mode = "standard"
"""


def test_the_file_of_the_service_beneath_the_user_s_and_the_environment(tmp_path: Path) -> None:
    place = {"VERTEX_REGION": "europe-west1", "VERTEX_LOCATION": "europe-west1"}
    done = loaded(
        tmp_path, "[server]\nport = 3001\n", dotenv="MODELMUX_SERVER_LOG_LEVEL=warn\n", system=SERVICE, **place
    )
    config = done.config
    assert (config.server.port, config.server.log_level, config.streaming.mode) == (3001, "warn", "standard")
    assert "europe-west1" in url(routes(config), "claude-sonnet-4")
    assert config.auth.service_account_file == "~/service-account.json"
    assert done.origin(("vertex", "project")).endswith("system.toml:10")


def test_a_key_file_in_the_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "service-account.json").write_text('{"type": "unheard-of"}')
    config = loaded(tmp_path, SERVICE).config
    with pytest.raises(CredentialProblem) as caught:
        credential_loader(config.auth)(None)  # type: ignore[arg-type]
    assert caught.value.failure.cause is FailureCause.WRONG_TYPE  # it was found and opened


@pytest.mark.parametrize("mode", ["auto", "never", "standard", "buffered", "always", "non-streaming"])
def test_every_mode_of_streaming(mode: str, tmp_path: Path) -> None:
    routes(loaded(tmp_path, ALL_KEYS.replace('mode = "auto"', f'mode = "{mode}"')).config)
