"""Layers: the right source wins, everybody is told which, and no source hides another's mistakes."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest

from modelmux.config import ConfigError, Loaded, load_all
from modelmux.config.load import user_file
from modelmux.config.near_names import OTHER_NAMES
from modelmux.config.settings import settings


class Place:
    """A machine's files: the user's and the system's configuration and ``.env``."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.user, self.system, self.dotenv = base / "modelmux/config.toml", base / "etc.toml", base / ".env"
        self.user.parent.mkdir()

    def load(self, *, environment: dict[str, str] | None = None, **options: Any) -> Loaded:
        variables = {"XDG_CONFIG_HOME": str(self.base), **(environment or {})}
        return load_all(environment=variables, dotenv=self.dotenv, system_file=self.system, **options)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def port(loaded: Loaded) -> tuple[int, str]:
    return loaded.config.server.port, loaded.origin(("server", "port"))


def test_each_source_wins_over_the_next_and_says_so(place: Place) -> None:
    assert port(place.load()) == (3000, "default")
    place.system.write_text("[server]\nport = 1\n")
    assert port(place.load()) == (1, f"{place.system}:2")
    place.user.write_text("# mine\n\n[server]\nhost = '::1'\nport = 2\n")
    assert port(place.load()) == (2, f"{place.user}:5")
    place.dotenv.write_text("export MODELMUX_SERVER_PORT='3'\n")
    assert port(place.load()) == (3, f"{place.dotenv} MODELMUX_SERVER_PORT")
    environment = {"MODELMUX_SERVER_PORT": "4"}
    assert port(place.load(environment=environment)) == (4, "environment MODELMUX_SERVER_PORT")
    loaded = place.load(environment=environment, options={"server.port": 5})
    assert port(loaded) == (5, "command line (server.port)")
    assert loaded.config.server.host == "::1"  # tables are joined, value by value


def test_a_list_of_a_stronger_source_replaces_the_whole_list(place: Place) -> None:
    place.system.write_text("[[vertex.models]]\nname = 'a'\n[[vertex.models]]\nname = 'b'\n")
    place.user.write_text("[[vertex.models]]\nname = 'c'\n")
    assert [m.name for m in place.load().config.vertex.models] == ["c"]


def test_a_named_file_is_the_only_file(place: Place) -> None:
    place.user.write_text("[server]\nport = 2\n")
    named = place.base / "named.toml"
    named.write_text("[vertex]\nproject = 'p'\n")
    assert place.load(file=named).config.server.port == 3000
    loaded = place.load(environment={"MODELMUX_CONFIG": str(named)})
    assert (loaded.config.server.port, loaded.config.vertex.project) == (3000, "p")
    with pytest.raises(ConfigError, match="no such file") as caught:
        place.load(file=place.base / "absent.toml")
    assert caught.value.hint


def test_every_problem_of_every_source_is_said_at_once(place: Place) -> None:
    place.system.write_text("[server]\nport = 'x'\n")
    place.user.write_text("[sever]\n")
    place.dotenv.write_text("MODELMUX_SERVER_STRICT=perhaps\n")
    with pytest.raises(ConfigError) as caught:
        place.load(environment={"MODELMUX_SERVER_PORT": "http"}, options={"server.prt": "1"})
    assert caught.value.problems == [
        f"{place.system}:2: server.port: 'x' is a string; expected a whole number from 0 to 65535",
        f"{place.user}:1: sever: unknown key: did you mean server?",
        f"{place.dotenv} MODELMUX_SERVER_STRICT: server.strict: 'perhaps' is a string; expected true or false",
        "environment MODELMUX_SERVER_PORT: server.port: 'http' is a string; expected a whole number from 0 to 65535",
        "command line (server.prt): server.prt: unknown key: did you mean server.port?",
    ]


ENVIRONMENT: list[tuple[dict[str, str], str, object]] = [
    ({"MODELMUX_SERVER_PORT": " 8 "}, "server.port", 8),
    ({"MODELMUX_SERVER__PORT": "8"}, "server.port", 8),
    ({"MODELMUX_LOGS_FILE": "off"}, "logs.file", False),
    ({"MODELMUX_SERVER_STRICT": "TRUE"}, "server.strict", True),
    ({"MODELMUX_LOGS_FILE": "0"}, "logs.file", False),
    ({"MODELMUX_FETCH_TIMEOUT": "1m"}, "fetch.timeout", 60),
    ({"MODELMUX_FETCH_MAX_BYTES": "64KiB"}, "fetch.max_bytes", 65536),
    ({"MODELMUX_FETCH_EXTRA_PORTS": "8080, 8443"}, "fetch.extra_ports", [8080, 8443]),
    ({"MODELMUX_STREAMING_BUFFER_TIMEOUT": "100"}, "streaming.buffer_timeout", 100),
    ({"MODELMUX_STREAMING_BUFFER_TIMEOUT": "2s"}, "streaming.buffer_timeout", 2),
    ({"LLM_URL": "https://h/v1/x"}, "vertex.url", "https://h/v1/x"),
    ({"LLM_MODEL": "b", "LLM_MODEL_DISPLAY_NAME": "a"}, "vertex.display_name", "a"),
    ({"VERTEX_MODEL_ID": "m"}, "vertex.model", "m"),
    ({"GOOGLE_CLOUD_PROJECT": "g", "VERTEX_PROJECT": "v"}, "vertex.project", "v"),
    ({"GOOGLE_CLOUD_PROJECT": "g", "ANTHROPIC_VERTEX_PROJECT_ID": "a"}, "vertex.project", "a"),
    ({"GOOGLE_CLOUD_PROJECT": "g"}, "vertex.project", "g"),
    ({"CLOUD_ML_REGION": "global"}, "vertex.location", "global"),
    ({"GOOGLE_APPLICATION_CREDENTIALS": "~/k.json"}, "auth.service_account_file", "~/k.json"),
    ({"VERTEX_PROJECT": ""}, "vertex.project", None),
]


@pytest.mark.parametrize(("variables", "name", "value"), ENVIRONMENT)
def test_environment_variables(place: Place, variables: dict[str, str], name: str, value: object) -> None:
    got: Any = place.load(environment=variables).config
    for key in name.split("."):
        got = getattr(got, key)
    assert got == value


def test_secrets_of_the_environment(place: Place) -> None:
    text = '{"type": "service_account"}'
    encoded = base64.b64encode(text.encode()).decode()
    loaded = place.load(
        environment={"GCP_SERVICE_ACCOUNT_KEY": f"{encoded[:8]}\n{encoded[8:]}", "MODELMUX_API_KEYS": "k1, k2"}
    )
    assert loaded.config.auth.service_account_json is not None
    assert loaded.config.auth.service_account_json.reveal() == text
    assert [key.reveal() for key in loaded.config.server.api_keys] == ["k1", "k2"]
    assert loaded.warnings == ["GCP_SERVICE_ACCOUNT_KEY is deprecated; set MODELMUX_AUTH_SERVICE_ACCOUNT_JSON instead"]
    with pytest.raises(ConfigError, match="not base64") as caught:
        place.load(environment={"GCP_SERVICE_ACCOUNT_KEY": "hunter2!"})
    assert "hunter2" not in str(caught.value)


def test_another_provider_is_refused(place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(environment={"LLM_PROVIDER": "openai"})
    assert caught.value.problems == ["environment LLM_PROVIDER: provider: 'openai' is a string; expected vertex"]


def test_a_mistyped_variable_is_warned_of(place: Place) -> None:
    loaded = place.load(environment={"MODELMUX_SERVER_PROT": "1", "MODELMUX_CONFIG": "", "PORT": "8"})
    assert loaded.warnings == [
        "PORT is deprecated; set MODELMUX_SERVER_PORT instead",
        "environment: MODELMUX_SERVER_PROT is not the name of a setting: did you mean MODELMUX_SERVER_PORT?",
    ]


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("VERTEX_PROJECT_ID", "VERTEX_PROJECT"), ("GOOGLE_PROJECT", "VERTEX_PROJECT"),
        ("GCP_PROJECT", "VERTEX_PROJECT"), ("VERTEX_PROJCT", "VERTEX_PROJECT"), ("VERTEX_LOCATIN", "VERTEX_LOCATION"),
        ("GOOGLE_CLOUD_REGION", "VERTEX_LOCATION"), ("CLOUDSDK_COMPUTE_REGION", "VERTEX_LOCATION"),
    ],
)  # fmt: skip
def test_a_variable_that_may_hold_the_missing_project_or_location_is_warned_of(
    name: str, right: str, place: Place
) -> None:
    expected = f"{name} is not the name of a setting: did you mean {right}?"
    assert place.load(environment={name: "value"}).warnings == [f"environment: {expected}"]
    place.dotenv.write_text(f"{name}=value\n")
    assert place.load().warnings == [f"{place.dotenv}: {expected}"]
    assert place.load(environment={right: "value"}).warnings == []  # it is not missing
    place.dotenv.write_text(f"{name}=\n")
    assert place.load().warnings == []


@pytest.mark.parametrize(
    ("entry", "warned"),
    [
        ("url = 'https://x/v1/projects/p/locations/eu/publishers/anthropic/models/claude-opus-5'", []),
        ("project = 'p'", ["GCP_REGION"]),
        ("locations = ['eu']", ["GCP_PROJECT"]),
        ("region = 'eu'\nproject = 'p'", []),
        ("deployments = [{project = 'p'}, {project = 'q', location = 'eu'}]", ["GCP_REGION"]),
        ("location = 'eu'\ndeployments = [{project = 'p'}, {url = 'https://x/v1'}]", []),
    ],
)
def test_a_variable_for_other_programs_is_not_warned_of_where_nothing_needs_it(
    entry: str, warned: list[str], place: Place
) -> None:
    place.user.write_text(f"[[vertex.models]]\nname = 'claude-opus-5'\n{entry}\n")
    warnings = place.load(environment={"GCP_PROJECT": "p", "GCP_REGION": "eu"}).warnings
    assert [warning.split()[1] for warning in warnings] == warned


def test_a_default_model_with_a_url_needs_no_project(place: Place) -> None:
    place.user.write_text("[vertex]\nurl = 'https://x/v1/projects/p/locations/eu/publishers/anthropic/models/m'\n")
    assert place.load(environment={"GCP_PROJECT": "p"}).warnings == []


def test_every_other_name_is_read_by_nothing_and_has_a_right_name_that_is_read() -> None:
    read = {env.name for setting in settings() for env in setting.env}
    for right, names in OTHER_NAMES.values():
        assert right in read
        assert read.isdisjoint(names)


def test_a_variable_for_other_programs_that_overrules_a_file_is_warned_of(place: Place) -> None:
    place.user.write_text("[vertex]\nproject = 'mine'\nlocation = 'eu'\n")
    loaded = place.load(environment={"GOOGLE_CLOUD_PROJECT": "shell", "CLOUD_ML_REGION": "eu"})
    assert loaded.config.vertex.project == "shell"
    (warning,) = loaded.warnings
    assert warning.startswith(f"GOOGLE_CLOUD_PROJECT of the environment overrides vertex.project of {place.user}:2; ")
    assert warning.endswith("unset it or set MODELMUX_VERTEX_PROJECT if the file is right")
    assert place.load(environment={"VERTEX_PROJECT": "asked"}).warnings == []
    both = {"GOOGLE_CLOUD_PROJECT": "shell"}
    assert place.load(environment=both, options={"vertex.project": "said"}).warnings == []


def test_nothing_is_expanded_in_an_env_file(place: Place) -> None:
    place.dotenv.write_text('# keys\nMODELMUX_API_KEYS="a$HOME"  # tail\nMODELMUX_SERVER_HOST=::1\nEMPTY\n')
    config = place.load().config
    assert ([k.reveal() for k in config.server.api_keys], config.server.host) == (["a$HOME"], "::1")


def test_lines_are_those_of_the_statement(place: Place) -> None:
    place.user.write_text(
        '[vertex]\nproject = """\np\n"""\n\n# m\n[[vertex.models]]\nname = "a"\nlocations = [\n  "eu",\n]\n'
        '[[vertex.models]]\nname = "b"\nmodel_id = "x"\n[server]\napi_keys = ["k"]\n'
    )
    loaded = place.load()
    wanted: dict[tuple[str | int, ...], int] = {
        ("vertex", "project"): 2,
        ("vertex", "models", 0, "locations"): 9,
        ("vertex", "models", 1, "name"): 13,
        ("vertex", "models", 1, "model"): 14,
        ("server", "api_keys"): 16,
    }
    assert {path: loaded.origin(path) for path in wanted} == {p: f"{place.user}:{n}" for p, n in wanted.items()}


def test_where_the_users_file_lies() -> None:
    assert user_file({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/modelmux/config.toml")
    assert user_file({"HOME": "/h"}) == Path("/h/.config/modelmux/config.toml")


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("VERTEX_PROJECT", "vertex.project"),
        ("MODELMUX_API_KEYS", "server.api_keys[0]"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "auth.service_account_file"),
    ],
)
def test_a_variable_that_is_not_utf8_is_a_problem_and_not_shown(variable: str, setting: str, place: Place) -> None:
    with pytest.raises(ConfigError) as caught:
        place.load(environment={variable: os.fsdecode(b"p\xff")})
    assert caught.value.problems == [f"environment {variable}: {setting}: it is not UTF-8; expected text that is"]
