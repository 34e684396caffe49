"""Settings: a typo must not be ignored, an error says what to change, and no secret shows itself."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, load, load_all, parse
from modelmux.config.check import check_value, from_text
from modelmux.config.values import Secret


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return caught.value.problems


def test_nothing_set_is_a_safe_default() -> None:
    config = parse("")
    assert (config.server.host, config.server.port, config.server.api_keys) == ("127.0.0.1", 3000, [])
    assert (config.server.allow_unauthenticated, config.server.strict, config.server.log_level) == (
        False,
        False,
        "info",
    )
    assert config.retries.max == 3
    assert config.server.max_body_bytes == 30 * 1024 * 1024
    assert (config.auth.access_token, config.auth.service_account_json, config.auth.service_account_file) == (None,) * 3
    assert (config.vertex.publisher, config.vertex.default_for_unknown_models, config.vertex.models) == (
        "anthropic",
        False,
        [],
    )
    assert (config.vertex.forced_tool_choice, config.vertex.prefill, config.vertex.prompt_caching) == (
        "downgrade",
        "error",
        True,
    )
    assert config.fetch.allow_private == []
    assert config.build_catalog().cards == builtin().cards


def test_lists_of_one_configuration_are_not_shared_with_the_next() -> None:
    parse("").vertex.models.append(None)  # type: ignore[arg-type]
    parse("").server.api_keys.append(Secret("x"))
    assert (parse("").vertex.models, parse("").server.api_keys) == ([], [])


WHOLE = """
[server]
port = 8080
api_keys = ["k1", "k2"]
[auth]
access_token = "t"
[vertex]
project = "p"
location = "eu"
[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5"
locations = ["eu", "us"]
prompt_caching = false
[[catalog]]
id = "claude-new"
context = 5
retires = 2030-01-01
"""


def test_a_whole_file() -> None:
    config = parse(WHOLE)
    assert [key.reveal() for key in config.server.api_keys] == ["k1", "k2"]
    assert config.auth.access_token == Secret("t")
    assert (config.vertex.models[0].locations, config.vertex.models[0].prompt_caching) == (["eu", "us"], False)
    card = config.build_catalog().card("claude-new")
    assert (card.context_window, str(card.retires_on)) == (5, "2030-01-01")


def test_the_names_of_the_first_version_are_taken() -> None:
    config = parse('[vertex]\nproject_id = "p"\nmodel_id = "m"\n[[vertex.models]]\nname = "n"\nmodel_id = "x"')
    assert (config.vertex.project, config.vertex.model, config.vertex.models[0].model) == ("p", "m", "x")


WRONG: list[tuple[str, list[str]]] = [
    ("a = ", [":1: not valid TOML"]),
    ("[server]\nprot = 1", [":2: server.prot: unknown key: did you mean server.port?"]),
    ("[srever]\nport = 1", [":1: srever: unknown key: did you mean server?"]),
    ("\n\nzzz = 1", [":3: zzz: unknown key"]),
    ("[server]\nprot = 1\nhots = 2\n[[vertex.models]]\nname = 'a'\n[[vertex.models]]\nnaem = 'b'",
     [":2: server.prot: unknown key: did you mean server.port?", ":3: server.hots: unknown key: did you mean server.h",
      ":7: vertex.models[1].naem: unknown key: did you mean vertex.models[1].name?",
      ":6: vertex.models[1].name: missing; expected a string"]),
    ("[server]\nport = 'x'", [":2: server.port: 'x' is a string; expected a whole number from 0 to 65535"]),
    ("[server]\nport = 65536", [":2: server.port: 65536 is a number; expected a whole number from 0 to 65535"]),
    ("[server]\nstrict = 1\nhost = true", [":2: server.strict: 1 is a number; expected true or false",
                                           ":3: server.host: true is a boolean; expected a string"]),
    ("[server]\nlog_level = 'inof'",
     [":2: server.log_level: 'inof' is a string; expected trace, debug, info, warn or error: did you mean 'info'?"]),
    ("[server]\napi_keys = [\n 'k',\n 5]", [":2: server.api_keys[1]: it is a number; expected a string"]),
    ("[server]\ndrain_timeout = '5 parsecs'",
     [":2: server.drain_timeout: '5 parsecs' is a string; expected a duration"]),
    ("[server]\nmax_body_bytes = -1", [":2: server.max_body_bytes: -1 is a number; expected a size"]),
    ("[[vertex.models]]\nmodel = 'm'", [":1: vertex.models[0].name: missing; expected a string"]),
    ("[vertex]\nproject = 'a'\nproject_id = 'b'", [":3: vertex.project_id: another name of project"]),
    ("server = 5", [":1: server: 5 is a number; expected a table"]),
    ("server = [5]", [":1: server: it is a list; expected a table"]),
    ("[server.api_keys]\na = 1", [":1: server.api_keys: it is a table; expected a list of strings"]),
    ("[auth.access_token]\nx = 1", [":1: auth.access_token: it is a table; expected a string"]),
    ("[aliases]\na = 5\nb = {model = 5}", [":2: aliases.a: 5 is a number; expected a string or a table",
                                           ":3: aliases.b.model: 5 is a number; expected a string"]),
    ("[auth]\naccess_token = 5", [":2: auth.access_token: it is a number; expected a string"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_what_is_wrong_is_said_by_place_and_all_at_once(text: str, expected: list[str]) -> None:
    found = problems(text)
    assert len(found) == len(expected)
    for problem, start in zip(found, expected, strict=True):
        assert problem.startswith(f"configuration{start}")


def test_settings_given_as_a_dict_are_checked_the_same_way() -> None:
    assert Config.from_dict({"server": {"port": 1}}).server.port == 1
    with pytest.raises(ConfigError) as caught:
        Config.from_dict({"server": {"prot": 1}})
    assert str(caught.value) == "server.prot: unknown key: did you mean server.port?"
    with pytest.raises(ConfigError) as caught:
        Config.from_dict([])  # type: ignore[arg-type]
    assert caught.value.problems == ["it is a list; expected a table"]


CARDS: list[tuple[str, list[str]]] = [
    ("[[catalog]]\ncontext = 5", ["catalog[0].id: a card needs the id of its model"]),
    ("[[catalog]]\nid = ' '", ["catalog[0].id: a card needs the id of its model"]),
    ("[[catalog]]\nid = 5", ["catalog[0].id: a card needs the id of its model"]),
    ("[[catalog]]\nid = 'a'\ncontxt = 5\n[[catalog]]\nid = 'b'\ncontext = 'many'",
     ["catalog[0].contxt: unknown key: did you mean catalog[0].c",
      "catalog[1].context: 'many' is a string; expected a"]),
    ("[[catalog]]\nid = 'a'\nsampling = 'maybe'", ["catalog[0].sampling: 'maybe' is a string; expected"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CARDS)
def test_a_card_that_is_none_is_said_at_start(text: str, expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text).build_catalog()
    assert len(caught.value.problems) == len(expected)
    for problem, start in zip(caught.value.problems, expected, strict=True):
        assert problem.startswith(start)


def test_a_file_names_itself_in_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.problems == [f"{path}: no such file"]
    assert caught.value.hint == "Name an existing file with --config."
    path.write_text("[server]\nprot = 1\nhots = 2")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [p.partition(": ")[0] for p in caught.value.problems] == [f"{path}:2", f"{path}:3"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    path.write_text("[server]\nport = 5")
    assert load(path).server.port == 5


@pytest.mark.parametrize("value", [Secret("hunter2"), [Secret("hunter2")], {"k": Secret("hunter2")}])
def test_a_secret_never_shows_itself(value: Any) -> None:
    assert "hunter2" not in f"{value!r} {value!s} {value}"


def test_a_secret_is_compared_by_what_it_holds() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.copy(Secret("a")).reveal() == "a"


def test_a_configuration_never_shows_its_secrets() -> None:
    config = parse(WHOLE.replace("k1", "hunter2").replace('"t"', '"hunter2"').replace('"p"', '"hunter2"'))
    shown = f"{config!r} {config!s} {config.server!r} {config.auth!r}"
    assert "hunter2" not in shown
    with pytest.raises(TypeError):
        msgspec.json.encode(config)
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


def test_a_loaded_configuration_can_be_made_again_from_its_tree(tmp_path: Path) -> None:
    """Workers get it so: every value a file or a variable can hold has to survive MessagePack."""
    file = tmp_path / "config.toml"
    file.write_text(
        "[server]\napi_keys = ['sk-one-of-mine']\ndrain_timeout = '500ms'\nmax_body_bytes = '1MiB'\n"
        "[vertex]\nproject = 'p'\nlocation = 'global'\n"
        "[[vertex.models]]\nname = 'm'\nmodel = 'claude-opus-4-8'\ntimeouts = { idle = 9 }\n"
        "[aliases]\na = 'claude-opus-4-8'\nb = { model = 'claude-opus-4-8', successor = 'm', from = 2027-01-31 }\n"
        "[[catalog]]\nid = 'claude-next'\ncontext = 7\n"
    )
    loaded = load_all(file=file, environment={"MODELMUX_STREAMING_MODE": "never"}, dotenv=None)
    assert Config.from_dict(msgspec.msgpack.decode(msgspec.msgpack.encode(loaded.tree))) == loaded.config
    assert "sk-one-of-mine" not in repr(loaded)


@pytest.mark.parametrize(("more", "warned"), [("", True), ("model = 'claude-sonnet-4-6'\n", False)])
def test_a_fallback_to_nothing_is_told(tmp_path: Path, more: str, warned: bool) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[vertex]\nproject = 'p'\nlocation = 'global'\ndefault_for_unknown_models = true\n{more}")
    warnings = load_all(file=file, environment={}, dotenv=None).warnings
    assert any("default_for_unknown_models has no effect" in warning for warning in warnings) == warned


@pytest.mark.parametrize(
    ("text", "keys"),
    [("[]", []), ('["a1", "b,2"]', ["a1", "b,2"]), (" [ 'a1' ] ", ["a1"]), ("a1, b2", ["a1", "b2"]), ("", [])],
)
def test_a_list_may_be_written_as_in_toml(text: str, keys: list[str]) -> None:
    """Or an operator who clears the keys would leave the key ``[]``."""
    value, problems = check_value(from_text(text, list[str]), list[str], None, ())
    assert (value, problems) == (keys, [])


def test_a_list_that_is_no_toml_is_reported() -> None:
    _, problems = check_value(from_text("[a1, b2]", list[str]), list[str], None, ("server", "api_keys"))
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("2026-11-28", "2026-11-28 is a date"),
        ("2026-11-28T10:00:00", "2026-11-28 10:00:00 is a date"),
        ("10:00:00", "10:00:00 is a time"),
        ("[1]", "it is a list"),
        ("{a = 1}", "it is a table"),
        ("true", "true is a boolean"),
        ("1.5", "1.5 is a number"),
        ('"x"', "'x' is a string"),
    ],
)
def test_types_are_named_as_toml_does_and_not_as_python(written: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"server.port = {written}")
    assert named in str(caught.value)


def test_a_value_that_toml_does_not_have_is_an_error_without_pythons_name_for_it() -> None:
    with pytest.raises(ConfigError, match="of a type that TOML does not have; expected a whole number"):
        Config.from_dict({"server": {"port": b"80"}})
