"""Risk: a set-up of the documentation does not start, or one of its commands is wrong.

Every file and every command of ``docs/accounts-setups.md`` is run, in order, with a home directory for each set-up.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from modelmux.app import Gateway
from modelmux.config.load import load
from support.cli import run

PAGE: Final = Path(__file__).resolve().parents[4] / "docs" / "accounts-setups.md"
_BLOCK: Final = re.compile(r"^```(toml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def setups() -> dict[str, list[tuple[str, str]]]:
    """Title -> blocks with their language."""
    _, *sections = PAGE.read_text().split("\n## ")
    return {section.partition("\n")[0]: _BLOCK.findall(section) for section in sections}


VARIABLES: Final = {"HELPDESK_KEY": "a-secret-of-the-vault-that-is-long-enough-0123"}


def serve(config: Path, home: Path) -> None:
    """What the start of a gateway does to its accounts."""
    Gateway(load(config), environment={**VARIABLES, "HOME": str(home)}).apply_accounts()


@pytest.mark.parametrize("title", setups())
def test_a_set_up_works_as_it_is_written(title: str, tmp_path: Path) -> None:
    blocks = setups()[title]
    assert [language for language, _ in blocks].count("toml") == 1
    config = tmp_path / ".config" / "modelmux" / "config.toml"
    config.parent.mkdir(parents=True)
    for language, text in blocks:
        if language == "toml":
            secret = tmp_path / "webhook"
            secret.write_text("s" * 40)
            config.write_text(text.replace("/run/secrets/webhook", str(secret)))
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line.removeprefix("$ ").partition(" > ")[0])
            assert program == "modelmux"
            if words == ["serve"]:
                serve(config, tmp_path)
                continue
            result = run(*words, home=tmp_path, **VARIABLES)
            assert result.code == 0, (line, result.stdout, result.stderr)
