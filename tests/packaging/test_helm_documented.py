"""What the pages and the examples tell people to type for the chart.

Risk: they name a value or a key of a Secret that is not there.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from support.helm import CHART, EXAMPLES, NAMED, ROOT, template

PAGE = (ROOT / "docs/kubernetes.md").read_text()
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
KEY = ("--set", "secrets.apiKeys={sk-0123456789abcdef}")
ACCOUNTS = (
    *NAMED,
    "--set",
    "config.accounts.enabled=true,persistence.enabled=true,secrets.adminToken=0123456789abcdef",
)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_example_says_how_its_secret_is_made(path: Path) -> None:
    text = path.read_text()
    values = yaml.safe_load(text)
    name = values["secrets"]["existingSecret"]
    command = re.search(rf"create secret generic {name}((?: \\\n#|.)*)", text)
    assert command is not None
    made = set(re.findall(r"--from-literal=([a-z-]+)=", command[1]))
    assert made == set(values["secrets"]["existingSecretKeys"].values())


def installs(text: str) -> list[list[str]]:
    """The options of every `helm install` in a text, without the chart."""
    commands = re.findall(r"helm install modelmux packaging/helm/modelmux((?: \\\n#?|.)*)", text)
    return [shlex.split(re.sub(r"\\\n#?", " ", command)) for command in commands]


@pytest.mark.parametrize("path", [ROOT / "docs/kubernetes.md", *sorted(EXAMPLES.glob("*.yaml"))], ids=lambda p: p.stem)
def test_what_is_installed_renders(path: Path) -> None:
    commands = installs(path.read_text())
    assert commands
    for options in commands:
        own = [option for option in options if option != "tokens.yaml"]  # a file that people write
        if len(own) != len(options):
            del own[own.index("-f", own.index("-f") + 1)]
        assert template(*(option.replace("packaging/", f"{ROOT}/packaging/") for option in own)).container


def blocks() -> list[dict[str, object]]:
    """The values among the YAML of the page."""
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    return [block for block in found if block.keys() <= VALUES.keys()]


@pytest.mark.parametrize("number", range(len(blocks())))
def test_values_of_the_page_render(number: int, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(blocks()[number]))
    with_keys, with_accounts = template(*NAMED, *KEY, "-f", path), template(*ACCOUNTS, "-f", path)
    assert with_keys.container
    assert with_accounts.container


def test_the_page_has_values() -> None:
    assert len(blocks()) == 4
