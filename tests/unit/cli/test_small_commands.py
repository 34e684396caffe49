"""``models``, ``version`` and ``completion``."""

from __future__ import annotations

import contextlib
import json
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from modelmux.catalog import builtin
from modelmux.cli.version import DISTRIBUTION
from support.cli import check_snapshot, environment, run
from support.clock import TODAY

CONFIG = """\
[vertex]
project = "p"
location = "eu"

[[vertex.models]]
name = "fast"
model = "claude-haiku-4-5"
locations = ["eu", "us"]

[[vertex.models]]
name = "new"
model = "claude-next"

[[vertex.models]]
name = "own"
url = "https://example.com/v1/projects/p/locations/eu/publishers/anthropic/models/claude-opus-5:rawPredict"
"""


def test_models(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    check_snapshot(
        "models",
        run("models", "--config", "c.toml", "--json", home=tmp_path),
        run("models", "--set", "vertex.model=claude-opus-5", home=tmp_path),
    )


def test_models_as_a_table(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    said = run("models", "--config", "c.toml", home=tmp_path)
    lines = [line.split() for line in said.stdout.splitlines()]
    assert lines[0] == ["NAME", "MODEL", "LOCATIONS", "CONTEXT", "OUTPUT", "PRICE", "THINKING", "EFFORT", "RETIRES"]
    assert [line[:3] for line in lines[1:]] == [
        ["fast", "claude-haiku-4-5@20251001", "eu,us"], ["new", "claude-next", "eu"], ["own", "claude-opus-5", "eu"],
    ]  # fmt: skip


def test_a_name_of_several_models_shows_them_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(CONFIG + 'fallbacks = ["fast", "claude-opus-4-8"]\n')
    result = run("models", "--config", "c.toml", home=tmp_path)
    (own,) = [line.split() for line in result.stdout.splitlines() if line.startswith("own ")]
    assert own[:4] == ["own", "claude-opus-5,claude-haiku-4-5@20251001,claude-opus-4-8", "eu,us", "1M"]
    rows = json.loads(run("models", "--config", "c.toml", "--json", home=tmp_path).stdout)["models"]
    assert [row["other_models"] for row in rows] == [[], [], ["claude-haiku-4-5@20251001", "claude-opus-4-8"]]


def test_where_nothing_is_configured_the_catalog_is_listed(tmp_path: Path) -> None:
    said = run("models", home=tmp_path)
    assert (said.code, said.stderr[:45]) == (0, "hint: no model is served yet; this is the cat")
    assert [line.split()[1] for line in said.stdout.splitlines()[1:]] == [
        card.id for card in builtin().cards if not card.is_retired(TODAY)
    ]


def test_all_adds_the_retired_models(tmp_path: Path) -> None:
    def names(*options: str) -> list[str]:
        return [line.split()[0] for line in run("models", *options, home=tmp_path).stdout.splitlines()[1:]]

    retired = [card.base for card in builtin().cards if card.is_retired(TODAY)]
    assert names("--all") == [card.base for card in builtin().cards]
    everything = ("--set", "vertex.project=p", "--set", "vertex.location=us-east5")
    assert "claude-opus-4-8" not in names(*everything)
    assert names(*everything, "--all") == [*names(*everything), *retired]
    (tmp_path / "c.toml").write_text(CONFIG + '\n[[vertex.models]]\nname = "gone"\nmodel = "claude-opus-4"\n')
    assert names("--config", "c.toml") == ["fast", "new", "own"]
    assert names("--config", "c.toml", "--all") == ["fast", "new", "own", "gone", *retired[1:]]


def test_prices_are_those_of_the_location_and_the_operators_own_come_first(tmp_path: Path) -> None:
    def price(*options: str) -> str:
        lines = run("models", *options, home=tmp_path).stdout.splitlines()[1:]
        return {row[0]: row[5] for row in map(str.split, lines)}["claude-haiku-5-5"]

    here = ("--set", "vertex.project=p", "--set")
    assert price() == price(*here, "vertex.location=global") == "0.1/0.5,>100k:0.5/2.5"
    assert price(*here, "vertex.location=eu") == "0.11/0.55,>100k:0.55/2.75"
    (tmp_path / "c.toml").write_text('[accounts.prices.claude-haiku-5-5]\ninput = "0"\n')
    assert price(*here, "vertex.location=eu", "--config", "c.toml") == "0/0"
    (tmp_path / "c.toml").write_text("[accounts.prices.claude-haiku-5-5]\ninput = 0.5\n")
    assert "accounts.prices.claude-haiku-5-5.input" in run("models", "--config", "c.toml", home=tmp_path).stderr


def test_serve_that_fails_says_which_variable_was_meant(tmp_path: Path) -> None:
    result = run("serve", home=tmp_path, GCP_PROJECT="p")
    assert result.code == 1
    assert result.stderr.startswith(
        "warning: environment: GCP_PROJECT is not the name of a setting: did you mean VERTEX_PROJECT?\n"
        "error: no model can be served: no Google Cloud project"
    )


def test_version(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    replace = {
        f"python {platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}": "PYTHON"
    }
    names = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in metadata.requires(DISTRIBUTION) or []}
    assert "click" in names
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):  # of an extra
            replace[f"\n{name} {metadata.version(name)}\n"] = f"\n{name} NUMBER\n"
    said = run("version", home=tmp_path)
    text = said.text(replace)
    for name in names:  # two neighbours share a line break
        text = re.sub(rf"(?m)^{re.escape(name)} \d\S*$", f"{name} NUMBER", text)
    text = text.replace("\nasyncpg NUMBER\n", "\n")  # of an extra
    assert text.startswith("$ modelmux version\nexit 0\n--- stdout\nmodelmux VERSION\nPYTHON\nclick NUMBER\n")
    assert text.endswith("\nconfiguration HOME/.env\n")
    facts = json.loads(run("version", "--json", home=tmp_path).stdout)
    assert set(facts) == {"version", "python", "platform", "dependencies", "files", "unreadable"}
    assert set(facts["dependencies"]) == names
    (tmp_path / ".env").unlink()
    assert run("version", home=tmp_path).stdout.endswith("configuration none; `modelmux config init` writes one\n")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_call_the_program_by_its_name(shell: str, tmp_path: Path) -> None:
    said = run("completion", shell, home=tmp_path)
    assert (said.code, said.stderr) == (0, "")
    assert f"_MODELMUX_COMPLETE={shell}_complete" in said.stdout
    assert run("completion", "tcsh", home=tmp_path).code == 2


def complete(home: Path, *words: str) -> list[str]:
    """What bash is offered for the last word."""
    variables = {
        "_MODELMUX_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "modelmux"],
        env=environment(home, **variables), cwd=home, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["modelmux", "con"], ["config", "connect"]),
        (["modelmux", "config", "v"], ["validate"]),
        (["modelmux", "config", "show", "--or"], ["--origin"]),
        (["modelmux", "serve", "--set", "server.po"], ["server.port="]),
        (["modelmux", "completion", "z"], ["zsh"]),
    ],
)
def test_what_is_completed(words: list[str], offered: list[str], tmp_path: Path) -> None:
    assert complete(tmp_path, *words) == offered


def test_names_of_settings_come_from_the_table_and_only_those_that_can_be_set(tmp_path: Path) -> None:
    offered = complete(tmp_path, "modelmux", "serve", "--set", "vertex.")
    assert "vertex.project=" in offered
    assert not any("vertex.models" in name for name in offered)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_the_script_for_bash_is_one(tmp_path: Path) -> None:
    script = run("completion", "bash", home=tmp_path, PATH="/usr/bin:/bin").stdout
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
