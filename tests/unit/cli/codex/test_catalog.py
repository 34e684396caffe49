"""Risk: Codex does not start with the catalogue, or takes a model for another."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.cli.codex.catalog import codex_catalog, reasoning_levels
from support.cli import CommandResult, run

VERTEX = {"VERTEX_PROJECT": "canary-project-444", "VERTEX_LOCATION": "global"}
#: What codex-cli 0.171.0 requires, and what versions before it required as well.
REQUIRED = {
    "slug", "display_name", "supported_reasoning_levels", "shell_type", "visibility", "supported_in_api", "priority",
    "support_verbosity", "truncation_policy", "experimental_supported_tools", "base_instructions",
    "supports_parallel_tool_calls", "supports_reasoning_summaries",
}  # fmt: skip
MODELS = """
[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5@20251001"
[[vertex.models]]
name = "best"
model = "claude-opus-5-5"
"""


def catalogue(home: Path, *arguments: str, **variables: str) -> CommandResult:
    return run("codex-catalog", *arguments, home=home, **(VERTEX | variables))


def entries(result: CommandResult) -> dict[str, dict[str, Any]]:
    assert result.code == 0, result.stderr
    return {entry["slug"]: entry for entry in json.loads(result.stdout)["models"]}


@pytest.mark.parametrize("card", builtin().cards, ids=lambda card: card.id)
def test_every_model_has_what_codex_requires(card: Any) -> None:
    (entry,) = codex_catalog({"some-name": card})["models"]
    assert entry.keys() >= REQUIRED
    assert entry["slug"] == "some-name"
    assert entry["apply_patch_tool_type"] == "freeform"
    assert entry["base_instructions"].startswith("You are Codex")
    assert set(entry["input_modalities"]) == {"text", "image"}
    assert entry["context_window"] == card.context_window
    assert 0 < entry["auto_compact_token_limit"] <= card.context_window - card.max_output
    levels = [level["effort"] for level in entry["supported_reasoning_levels"]]
    assert all(level["description"] for level in entry["supported_reasoning_levels"])
    assert entry["default_reasoning_level"] in [None, *levels]
    assert entry["supports_reasoning_summaries"] is bool(card.thinking)


def test_levels_are_those_that_make_a_difference() -> None:
    def levels(name: str) -> list[str]:
        return reasoning_levels(builtin().card(name))

    assert levels("claude-opus-5-5") == ["low", "medium", "high", "xhigh", "max"]
    assert levels("claude-haiku-5-5")[0] == "none"
    assert levels("claude-haiku-4-5") == ["none", "low", "medium", "high"], "by budget"
    assert levels("claude-3-5-haiku") == [], "it does not think"


def test_there_is_an_entry_for_every_name_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / ".config" / "modelmux" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(MODELS)
    found = entries(catalogue(tmp_path))
    assert list(found) == ["fast", "best", "claude-haiku-4-5", "claude-opus-5-5"]
    assert [entry["priority"] for entry in found.values()] == [0, 1, 2, 3]
    assert found["fast"]["display_name"] == "Claude Haiku 4.5 (fast)"
    assert found["claude-opus-5-5"]["display_name"] == "Claude Opus 5.5"
    assert "canary" not in json.dumps(found)


def test_without_a_configuration_it_is_the_catalog(tmp_path: Path) -> None:
    result = run("codex-catalog", "--set", "server.port=1", home=tmp_path)
    listed = json.loads(run("models", "--json", home=tmp_path).stdout)["models"]
    assert list(entries(result)) == [row["name"] for row in listed], "the same list, without retired models"
    assert len(listed) < len(builtin().cards)
    assert "no model is served yet" in result.stderr


def test_it_is_written_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / ".codex" / "modelmux-models.json"
    result = catalogue(tmp_path, "--output", str(file))
    assert result.code == 0, result.stderr
    assert json.loads(file.read_text()) == json.loads(catalogue(tmp_path).stdout)
    assert f'model_catalog_json = "{file}"' in result.stderr
    again = catalogue(tmp_path, "-o", "~/.codex/modelmux-models.json")
    assert again.code == 0, again.stderr
    assert f"kept the old file as {file}.bak" in again.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems have UTF-8 names only")
def test_a_path_of_other_bytes_is_written_and_shown(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xfccher.json")
    result = catalogue(tmp_path, "-o", name)
    assert result.code == 0, result.stderr
    assert (tmp_path / name).exists()
    assert "wrote b\\xfccher.json, with" in result.stdout
    assert "model_catalog_json" not in result.stderr, "TOML is UTF-8"
    assert "hint: Codex's config.toml cannot name this file" in result.stderr
    assert "kept the old file as b\\xfccher.json.bak" in catalogue(tmp_path, "-o", name).stdout


def test_a_file_that_cannot_be_written_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = catalogue(tmp_path, "-o", str(tmp_path / "file" / "models.json"))
    assert result.code == 1
    assert "cannot be written" in result.stderr
    assert "hint:" in result.stderr
