"""``config import``: what LiteLLM's YAML says is carried or reported, key by key, and the result loads."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelmux.catalog import builtin
from modelmux.cli.config import litellm
from modelmux.cli.config.litellm import Import
from modelmux.config import parse
from modelmux.config.settings import settings
from modelmux.config.toml_writer import tables
from support.cli import check_snapshot, run

WHOLE = """\
model_list:
  - model_name: sonnet
    litellm_params:
      model: vertex_ai/claude-sonnet-4-5@20250929
      vertex_project: project-a
      vertex_location: us-east5
      vertex_credentials: /keys/a.json
      rpm: 60
  - model_name: sonnet
    litellm_params:
      model: vertex_ai/claude-sonnet-4-5
      vertex_project: os.environ/OTHER_PROJECT
      vertex_location: europe-west1
      vertex_credentials: /keys/b.json
      rpm: 120
      temperature: 0.2
    model_info:
      mode: chat
  - model_name: opus
    litellm_params:
      model: anthropic/claude-opus-5
      api_key: os.environ/ANTHROPIC_API_KEY
      vertex_project: os.environ/VERTEXAI_PROJECT
      vertex_location: os.environ/NOT_SET
  - model_name: haiku
    litellm_params: {model: claude-haiku-4-5, vertex_project: project-a, vertex_location: eu, weight: 2}
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: sk-openai-secret}
  - model_name: gemini
    litellm_params: {model: vertex_ai/gemini-3-pro}
  - model_name: "*"
    litellm_params: {model: "vertex_ai/*"}
  - litellm_params: {}
router_settings:
  num_retries: 2
  timeout: 30
  routing_strategy: simple-shuffle
  model_group_alias: {gpt-4: sonnet, hidden: {model: opus, hidden: true}}
  fallbacks: [{opus: [sonnet]}]
litellm_settings:
  drop_params: true
general_settings:
  master_key: sk-1234
  database_url: postgres://user:hunter2@db/litellm
environment_variables:
  X: secret
"""


def imported(tree: Any, **environment: str) -> Import:
    done = Import(environment, builtin())
    done.read(tree)
    return done


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "litellm.yaml").write_text(WHOLE)
    said = run("config", "import", "litellm.yaml", home=tmp_path, OTHER_PROJECT="project-b")
    lines = [line for line in said.stderr.splitlines(keepends=True) if not line.startswith("warning")]
    check_snapshot("config_import", replace(said, stderr="".join(lines)))
    config = parse(said.stdout)
    assert [(d.project, d.location, d.weight) for d in config.vertex.models[0].deployments] == [
        ("project-a", "us-east5", 60),
        ("project-b", "europe-west1", 120),
    ]
    assert (config.aliases, config.retries.max) == ({"gpt-4": "sonnet", "hidden": "opus"}, 2)
    assert config.server.api_keys[0].reveal() == "sk-1234"
    for secret in ("sk-1234", "sk-openai-secret", "hunter2", "secret\n"):
        assert secret not in said.stderr


def test_every_key_is_in_the_report() -> None:
    reported = {line.path for line in imported(yaml.safe_load(WHOLE)).report}

    def walk(tree: Any, path: str) -> None:
        entry = re.match(r"model_list\[\d+\]", path)
        left = entry and not any(p == f"{entry[0]}.model_name" for p in reported)  # said at its model
        if path in reported or left:
            return
        entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else []
        assert entries, path
        for key, inner in entries:
            walk(inner, f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".removeprefix("."))

    walk(yaml.safe_load(WHOLE), "")


def test_problems_and_files(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("model_list: [\n")
    (tmp_path / "other.yaml").write_text("a: 1\n")
    (tmp_path / "good.yaml").write_text("general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n")
    check_snapshot(
        "config_import_files",
        *(run("config", "import", f"{name}.yaml", home=tmp_path) for name in ("absent", "broken", "other")),
        run("config", "import", "good.yaml", "--output", "out.toml", home=tmp_path),
        run("config", "import", "good.yaml", "--output", "out.toml", home=tmp_path),
        run("config", "import", "good.yaml", "--output", "out.toml", "--force", home=tmp_path),
    )
    assert (tmp_path / "out.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("weights", "carried"),
    [([1, 3], [1, 3]), ([0.7, 0.3], [100, 43]), ([6000, 1], [100, 1]), ([0, 5000], [0, 100])],
)
def test_shares_stay_about_the_same(weights: list[float], carried: list[int]) -> None:
    entries = [
        {"model_name": "a", "litellm_params": {"model": "vertex_ai/claude-opus-5", "weight": w}} for w in weights
    ]
    model = imported({"model_list": entries}).settings["vertex"]["models"][0]
    assert [d["weight"] for d in model["deployments"]] == carried


def test_names_that_differ_in_case_are_one_here() -> None:
    entries = [
        {"model_name": name, "litellm_params": {"model": model}}
        for name, model in (("A", "vertex_ai/claude-opus-5"), ("a", "vertex_ai/claude-new"))
    ]
    models = imported({"model_list": entries}).settings["vertex"]["models"]
    assert models == [{"name": "A", "model": "claude-opus-5", "deployments": [{}, {"model": "claude-new"}]}]


_WORDS = st.sampled_from(
    ["model_list", "general_settings", "router_settings", "litellm_params", "model_name", "model", "vertex_project",
     "vertex_location", "vertex_credentials", "weight", "rpm", "order", "master_key", "num_retries",
     "vertex_ai/claude-x", "model_group_alias", "os.environ/X", "claude-opus-5", "*", "", "fallbacks"]
)  # fmt: skip
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _WORDS)
_ENTRY = st.fixed_dictionaries({"model_name": _LEAVES, "litellm_params": st.dictionaries(_WORDS, _LEAVES, max_size=6)})
_TREES = st.recursive(
    _LEAVES, lambda t: st.one_of(st.lists(t, max_size=3), st.dictionaries(_WORDS, t, max_size=4)), max_leaves=20
)


@given(st.dictionaries(_WORDS, _TREES, max_size=4), st.lists(st.one_of(_ENTRY, _TREES), max_size=3))
def test_whatever_stands_there_the_result_loads(tree: dict[str, Any], entries: list[Any]) -> None:
    done = imported({**tree, "model_list": entries})
    parse(tables(done.settings))
    assert tomllib.loads(tables(done.settings)) == done.settings


def test_what_was_written_is_checked_like_any_configuration(tmp_path: Path) -> None:
    """The key of the manuals is carried over as it is, and the gateway would refuse to start with it."""
    text = yaml.safe_dump({
        "general_settings": {"master_key": "sk-1234"},
        "model_list": [{"model_name": "fast", "litellm_params": {"model": "vertex_ai/claude-haiku-55",
                        "vertex_project": "p", "vertex_location": "global"}}],
    })  # fmt: skip
    (tmp_path / "litellm.yaml").write_text(text)
    written = run("config", "import", "litellm.yaml", "--output", "out.toml", home=tmp_path)
    assert (written.code, written.stdout) == (1, "wrote out.toml\n")
    *lines, again = [line for line in written.stderr.splitlines() if not line.startswith("converted")]
    warning, error, hint = lines
    assert warning.startswith("warning: out.toml:5: vertex.models 'fast': claude-haiku-55 is not in the catalog")
    assert "did you mean claude-haiku-5-5?" in warning
    assert error == "error: out.toml:3: server.api_keys[0]: it is a well-known example from manuals"
    assert hint.startswith("hint: Generate a key")
    assert again == "hint: `modelmux config validate out.toml` checks it again."
    assert "sk-1234" not in written.stderr
    validated = run("config", "validate", "out.toml", home=tmp_path)
    assert (validated.code, validated.stderr.splitlines()) == (1, lines), "one verdict"
    printed = run("config", "import", "litellm.yaml", home=tmp_path)
    assert printed.code == 1
    assert printed.stdout == (tmp_path / "out.toml").read_text()
    assert error.replace("out.toml", "stdout") in printed.stderr
    (tmp_path / "litellm.yaml").write_text(text.replace("sk-1234", "a-key-of-my-own-making"))
    good = run("config", "import", "litellm.yaml", home=tmp_path)
    assert good.code == 0
    assert "did you mean claude-haiku-5-5?" in good.stderr
    assert "manuals" not in good.stderr


def test_what_the_environment_sets_is_not_missed(tmp_path: Path) -> None:
    model = {"model": "vertex_ai/claude-haiku-5-5", "vertex_project": "os.environ/VERTEXAI_PROJECT"}
    entries = [{"model_name": "fast", "litellm_params": model}]
    (tmp_path / "litellm.yaml").write_text(yaml.safe_dump({"model_list": entries}))
    without = run("config", "import", "litellm.yaml", home=tmp_path)
    assert without.code == 1
    assert "no Google Cloud project is set" in without.stderr
    assert run("config", "import", "litellm.yaml", home=tmp_path, VERTEXAI_PROJECT="p", VERTEX_LOCATION="eu").code == 0
    (tmp_path / ".env").write_text("VERTEX_PROJECT=p\nVERTEX_LOCATION=eu\n")
    assert run("config", "import", "litellm.yaml", home=tmp_path).code == 0


def test_models_are_checked_beside_other_problems(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[vertex]\nproject = "p"\n[[vertex.models]]\nname = "a"\nmodel = "claude-opuss-5"\nlocation = "mars"\n'
        '[[vertex.models]]\nname = "b"\ndeployments = [{model = "claude-3-5-haiku", location = "eu"}]\n'
        '[[vertex.models]]\nname = "claude-opus-4"\nlocation = "eu"\n'
        '[[vertex.models]]\nname = "c"\n'
        'url = "https://x/v1/projects/p/locations/eu/publishers/anthropic/models/claude-sonnett-5"\n'
    )
    result = run("config", "validate", "config.toml", home=tmp_path)
    assert result.code == 1
    assert "error: config.toml:3: vertex.models 'a': 'mars' is not a location" in result.stderr
    warned = re.findall(r"warning: (config.toml:\d+): vertex.models '(\S+)': (\S+) (is not|was retired)", result.stderr)
    assert warned == [
        ("config.toml:3", "a", "claude-opuss-5", "is not"),
        ("config.toml:7", "b", "claude-3-5-haiku@20241022", "was retired"),
        ("config.toml:10", "claude-opus-4", "claude-opus-4@20250514", "was retired"),
        ("config.toml:13", "c", "claude-sonnett-5", "is not"),
    ]


def test_reasons_are_true() -> None:
    """A reason that names a setting names one that there is, and none says that an existing setting is missing."""
    names = {setting.name for setting in settings()}
    reasons = " ".join([*litellm._REASONS.values(), *litellm._PARAMS.values()])
    for name in re.findall(r"\b(?:vertex|server|limits|retries|timeouts|auth)\.[\w.\[\]]*\w", reasons):
        assert name in names or f"{name}.total" in names, name
    assert "no such setting" not in reasons
