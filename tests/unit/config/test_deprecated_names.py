"""Old names of settings: each works in every kind of source, with a warning, and loses only where it should."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from modelmux.config import Config, ConfigError, Loaded, load_all, parse
from modelmux.config.deprecated_names import EACH, OLD_NAMES, OLD_VALUES
from modelmux.config.introspection import describe
from modelmux.config.paths import KeyPath, dotted, get_path
from modelmux.config.settings import old_settings, settings

#: Old path, its TOML value, the value as a variable, new path, the new value, what the warning says after the new name.
TABLE: list[tuple[str, str, str, str, Any, str]] = [
    ("server.enable_retries", "false", "off", "retries.max", 0, " = 0"),
    ("server.max_retry_attempts", "5", "5", "retries.max", 5, ""),
    ("logs.keep", "7", "7", "logs.retention_days", 7, ""),
    ("limits.requests", "9", "9", "limits.max_concurrent_requests", 9, ""),
    ("limits.queue", "0", "0", "limits.max_queued_requests", 0, ""),
    ("streaming.keep_alive", "'500ms'", "500ms", "streaming.keep_alive_interval", 0.5, ""),
    ("streaming.chunk_timeout_ms", "2500", "2500", "streaming.buffer_timeout", 2.5, " = 2.5"),
    ("vertex.caching", "false", "no", "vertex.prompt_caching", False, ""),
    ("vertex.fallback_to_default", "true", "yes", "vertex.default_for_unknown_models", True, ""),
]
#: Another value of each new setting, as TOML and as it is loaded.
OTHERS: dict[str, tuple[str, Any]] = {
    "retries.max": ("8", 8),
    "logs.retention_days": ("8", 8),
    "limits.max_concurrent_requests": ("8", 8),
    "limits.max_queued_requests": ("8", 8),
    "streaming.keep_alive_interval": ("8", 8),
    "streaming.buffer_timeout": ("8", 8),
    "vertex.prompt_caching": ("true", True),
    "vertex.default_for_unknown_models": ("false", False),
}
each_old_name = pytest.mark.parametrize(
    ("old", "text", "word", "new", "value", "more"), TABLE, ids=[row[0] for row in TABLE]
)


class Machine:
    """A machine's files: the user's and the system's configuration and ``.env``."""

    def __init__(self, base: Path) -> None:
        self.user, self.system, self.dotenv = base / "user.toml", base / "system.toml", base / ".env"

    def load(self, user: str = "", *, system: str = "", dotenv: str = "", **sources: Any) -> Loaded:
        self.user.write_text(user)
        self.system.write_text(system)
        self.dotenv.write_text(dotenv)
        environment = {"XDG_CONFIG_HOME": str(self.user.parent / "none"), **sources.pop("environment", {})}
        return load_all(file=self.user, environment=environment, dotenv=self.dotenv, **sources)

    def layered(self, *, user: str, system: str) -> Loaded:
        """The user's file over the system's."""
        directory = self.user.parent / "modelmux"
        directory.mkdir()
        (directory / "config.toml").write_text(user)
        self.system.write_text(system)
        environment = {"XDG_CONFIG_HOME": str(self.user.parent)}
        return load_all(environment=environment, dotenv=None, system_file=self.system)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def toml(name: str, value: str) -> str:
    table, key = name.split(".")
    return f"[{table}]\n{key} = {value}\n"


def in_one_file(*settings: tuple[str, str]) -> str:
    tables: dict[str, list[str]] = {}
    for name, value in settings:
        table, key = name.split(".")
        tables.setdefault(table, []).append(f"{key} = {value}\n")
    return "".join(f"[{table}]\n{''.join(lines)}" for table, lines in tables.items())


def path_of(name: str) -> KeyPath:
    return tuple(name.split("."))


def value_of(config: Config, name: str) -> Any:
    table, key = name.split(".")
    return getattr(getattr(config, table), key)


def variable(name: str) -> str:
    return "MODELMUX_" + name.replace(".", "_").upper()


def about_names(loaded: Loaded) -> list[str]:
    return [warning for warning in loaded.warnings if "has no effect: there is no default model" not in warning]


def test_the_table_here_is_the_table_of_the_code() -> None:
    listed = {".".join(name.old) for name in OLD_NAMES if name.deprecated and EACH not in name.old}
    assert {row[0] for row in TABLE} == listed
    known = {setting.path for setting in settings()}
    for name in OLD_NAMES:
        assert name.new in known
        assert name.old not in known
    assert all(path in known for path in OLD_VALUES)


@each_old_name
def test_in_a_file(machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str) -> None:
    loaded = machine.load(toml(old, text))
    assert value_of(loaded.config, new) == value
    assert about_names(loaded) == [f"{machine.user}:2: {old} is deprecated; set {new}{more} instead"]
    assert loaded.origin(path_of(new)) == f"{machine.user}:2"
    assert get_path(loaded.tree, path_of(new)) is not None


@each_old_name
@pytest.mark.parametrize("separator", ["_", "__"])
def test_in_the_environment(
    machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str, separator: str
) -> None:
    name = f"MODELMUX_{old.replace('.', separator).upper()}"
    loaded = machine.load(environment={name: word})
    assert value_of(loaded.config, new) == value
    assert about_names(loaded) == [f"{name} is deprecated; set {variable(new)}{more} instead"]
    assert loaded.origin(path_of(new)) == f"environment {name}"


@each_old_name
def test_in_a_dotenv_file(machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str) -> None:
    loaded = machine.load(dotenv=f"{variable(old)}={word}\n")
    assert value_of(loaded.config, new) == value
    assert about_names(loaded) == [f"{variable(old)} is deprecated; set {variable(new)}{more} instead"]
    assert loaded.origin(path_of(new)) == f"{machine.dotenv} {variable(old)}"


@each_old_name
def test_on_the_command_line(machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str) -> None:
    loaded = machine.load(options={old: word})
    assert value_of(loaded.config, new) == value
    assert about_names(loaded) == [f"command line: {old} is deprecated; set {new}{more} instead"]
    assert loaded.origin(path_of(new)) == f"command line ({old})"


@each_old_name
def test_in_a_dict(old: str, text: str, word: str, new: str, value: Any, more: str) -> None:
    tree = tomllib.loads(toml(old, text))
    before = repr(tree)
    with pytest.warns(DeprecationWarning, match=rf"^{old} is deprecated; set {new}{more} instead$") as caught:
        config = Config.from_dict(tree)
    assert value_of(config, new) == value
    assert repr(tree) == before, "the caller's dict is not changed"
    assert [warning.filename for warning in caught] == [__file__]


@each_old_name
def test_in_text(old: str, text: str, word: str, new: str, value: Any, more: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"configuration:2: {old} is deprecated") as caught:
        config = parse(toml(old, text))
    assert value_of(config, new) == value
    assert [warning.filename for warning in caught] == [__file__]


@each_old_name
def test_the_new_name_wins_within_a_file(
    machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str
) -> None:
    other, expected = OTHERS[new]
    loaded = machine.load(in_one_file((old, text), (new, other)))
    assert value_of(loaded.config, new) == expected != value
    assert about_names(loaded) == [
        f"{machine.user}:2: {old} is deprecated and ignored, because {new} is also set; remove it"
    ]


@each_old_name
def test_the_new_name_wins_within_the_environment(
    machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str
) -> None:
    other, expected = OTHERS[new]
    loaded = machine.load(environment={variable(old): word, variable(new): other})
    assert value_of(loaded.config, new) == expected
    assert about_names(loaded) == [
        f"{variable(old)} is deprecated and ignored, because {variable(new)} is also set; remove it"
    ]
    assert loaded.origin(path_of(new)) == f"environment {variable(new)}"


@each_old_name
def test_an_old_name_in_a_stronger_source_beats_the_new_name_in_a_weaker_one(
    machine: Machine, old: str, text: str, word: str, new: str, value: Any, more: str
) -> None:
    other, expected = OTHERS[new]
    loaded = machine.load(toml(new, other), environment={variable(old): word})
    assert value_of(loaded.config, new) == value
    assert loaded.origin(path_of(new)) == f"environment {variable(old)}"
    loaded = machine.load(toml(old, text), environment={variable(new): other})
    assert value_of(loaded.config, new) == expected
    loaded = machine.layered(user=toml(old, text), system=toml(new, other))
    assert value_of(loaded.config, new) == value


@pytest.mark.parametrize("index", [0, 1])
def test_in_an_entry_of_a_list(machine: Machine, index: int) -> None:
    name = f"name = '{'ab'[index]}'\n"
    text = "[[vertex.models]]\nname = 'a'\n[[vertex.models]]\nname = 'b'\n".replace(name, f"{name}caching = false\n")
    loaded = machine.load(text)
    assert [m.prompt_caching for m in loaded.config.vertex.models] == [False if i == index else None for i in (0, 1)]
    path: KeyPath = ("vertex", "models", index, "prompt_caching")
    line = 3 + 2 * index
    assert loaded.origin(path) == f"{machine.user}:{line}"
    assert about_names(loaded) == [
        (
            f"{machine.user}:{line}: vertex.models[{index}].caching is deprecated; "
            f"set vertex.models[{index}].prompt_caching instead"
        )
    ]
    with pytest.warns(DeprecationWarning, match="vertex.models\\[0\\].caching is deprecated"):
        Config.from_dict({"vertex": {"models": [{"name": "a", "caching": True}]}})


# retries


RETRIES: list[tuple[str, int, int]] = [
    ("enable_retries = true", 3, 1),
    ("enable_retries = false", 0, 1),
    ("enable_retries = true\nmax_retry_attempts = 5", 5, 2),
    ("enable_retries = false\nmax_retry_attempts = 5", 0, 2),
    ("max_retry_attempts = 5\nenable_retries = false", 0, 2),
    ("max_retry_attempts = 0", 0, 1),
]


@pytest.mark.parametrize(("text", "attempts", "warnings"), RETRIES)
def test_the_two_settings_of_retries_are_one(machine: Machine, text: str, attempts: int, warnings: int) -> None:
    loaded = machine.load(f"[server]\n{text}\n")
    assert loaded.config.retries.max == attempts
    assert len(loaded.warnings) == warnings


def test_enable_retries_true_changes_nothing(machine: Machine) -> None:
    loaded = machine.load("[retries]\nmax = 0\n", environment={"MODELMUX_SERVER_ENABLE_RETRIES": "true"})
    assert loaded.config.retries.max == 0
    assert loaded.warnings == ["MODELMUX_SERVER_ENABLE_RETRIES is deprecated and has no effect here; remove it"]
    loaded = machine.load("[server]\nenable_retries = false\n", environment={"MODELMUX_SERVER_MAX_RETRY_ATTEMPTS": "2"})
    assert loaded.config.retries.max == 2


def test_an_old_name_that_loses_to_another_old_name_is_told_which(machine: Machine) -> None:
    loaded = machine.load("[server]\nenable_retries = false\nmax_retry_attempts = 5\n")
    assert loaded.warnings == [
        f"{machine.user}:2: server.enable_retries is deprecated; set retries.max = 0 instead",
        (
            f"{machine.user}:3: server.max_retry_attempts is deprecated and ignored, because server.enable_retries is "
            "also set; remove it"
        ),
    ]


# values


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("5000", 5), ("1", 0.001), ("9", 0.009), ("0", 0), ("'2s'", 2), ("'150ms'", 0.15), ("'0.5m'", 30)],
)
def test_milliseconds_become_seconds_exactly(machine: Machine, value: str, seconds: float) -> None:
    assert machine.load(f"[streaming]\nchunk_timeout_ms = {value}\n").config.streaming.buffer_timeout == seconds


@pytest.mark.parametrize(("word", "mode"), [("never", "single"), ("non-streaming", "single"), ("always", "standard")])
def test_an_old_stream_mode_is_a_synonym_without_a_warning(machine: Machine, word: str, mode: str) -> None:
    loaded = machine.load(f"[streaming]\nmode = '{word}'\n[[streaming.clients]]\nmode = '{word}'\n")
    assert (loaded.config.streaming.mode, loaded.config.streaming.clients[0].mode) == (mode, mode)
    assert loaded.warnings == []
    assert loaded.origin(("streaming", "mode")) == f"{machine.user}:2"
    assert Config.from_dict({"streaming": {"mode": word}}).streaming.mode == mode
    assert machine.load(environment={"MODELMUX_STREAMING_MODE": word}).config.streaming.mode == mode


WRONG: list[tuple[str, list[str]]] = [
    ("[server]\nenable_retries = 'perhaps'",
     [":2: server.enable_retries: 'perhaps' is a string; expected true or false"]),
    ("[server]\nmax_retry_attempts = 101",
     [":2: server.max_retry_attempts: 101 is a number; expected a whole number from 0 to 100"]),
    ("[streaming]\nchunk_timeout_ms = 'soon'",
     [(":2: streaming.chunk_timeout_ms: 'soon' is a string; "
       'expected a duration such as 5000 (milliseconds), "500ms" or "5s"')]),
    ("retries = 5\n[server]\nenable_retries = false", [":1: retries: 5 is a number; expected a table"]),
    ("[logs]\nkeep = 0\nfile = 5", [":2: logs.keep: 0 is a number; expected a whole number from 1 to 3650",
                                    ":3: logs.file: 5 is a number; expected true or false"]),
    ("[streaming]\nmode = 'nevr'",
     [":2: streaming.mode: 'nevr' is a string; expected auto, standard, buffered or single"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_wrong_value_is_reported_under_the_name_that_was_written(
    machine: Machine, text: str, expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        machine.load(text)
    assert sorted(caught.value.problems) == sorted(f"{machine.user}{problem}" for problem in expected)


def test_a_wrong_value_of_a_dict_is_reported_with_all_others() -> None:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"server": {"enable_retries": 5, "prot": 1}})
    assert caught.value.problems == [
        "server.enable_retries: 5 is a number; expected true or false",
        "server.prot: unknown key: did you mean server.port?",
    ]


def test_an_old_variable_is_known_but_never_suggested(machine: Machine) -> None:
    assert machine.load(environment={"MODELMUX_LOGS_KEEPS": "1"}).warnings == [
        "environment: MODELMUX_LOGS_KEEPS is not the name of a setting: did you mean MODELMUX_LOGS_FILE?"
    ]


def test_every_old_name_says_what_it_takes() -> None:
    for name, setting in old_settings():
        assert describe(setting.kind), dotted(name.old)
        assert setting.description.startswith("Now ")
