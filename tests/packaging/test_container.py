"""The container files: where no engine runs, at least what they promise is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from modelmux.config import Config
from modelmux.config.settings import settings
from modelmux.config.values import Seconds

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text().partition("\nlock:")[2].partition("\n\n")[0]
DOCKERFILE = (ROOT / "packaging/docker/Dockerfile").read_text()


def compose() -> dict[str, Any]:
    service: dict[str, Any] = yaml.safe_load((ROOT / "packaging/docker/compose.yaml").read_text())["services"][
        "modelmux"
    ]
    return service


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for line in DOCKERFILE.splitlines():
        words = line.split()
        if words[:1] == ["COPY"] and "--from=build" not in words:
            for source in words[1:-1]:
                assert (ROOT / source).exists()
                assert any(Path(source).match(pattern) for pattern in kept), source


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[a-z0-9-]+==[^ ]+", (ROOT / "requirements" / lock).read_text(), re.MULTILINE))


def test_the_image_has_what_several_nodes_need() -> None:
    """Risk: a pod that names PostgreSQL or a collector ends at its start, because a package is missing."""
    assert "-r requirements/image.lock" in DOCKERFILE
    assert pins("run.lock") < pins("image.lock")  # the same versions as elsewhere
    names = {pin.partition("==")[0] for pin in pins("image.lock")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (command,) = re.findall(r"uv pip compile (.*?) -o requirements/image\.lock", MAKEFILE, re.DOTALL)
    chosen = set(re.findall(r"--extra ([a-z]+)", command))
    assert {"postgres", "redis", "otel"} <= chosen
    wanted = {requirement for extra in chosen for requirement in extras[extra]}
    assert {re.split("[>=<]", requirement)[0] for requirement in wanted} <= names


def test_signals_reach_the_gateway() -> None:
    """Risk: a shell in front swallows SIGTERM, and the container is killed without a drain."""
    entry = [line for line in DOCKERFILE.splitlines() if line.startswith(("ENTRYPOINT", "CMD"))]
    assert entry == ['ENTRYPOINT ["modelmux"]', 'CMD ["serve"]']
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE


def test_the_variables_are_settings() -> None:
    known = {env.name for setting in settings() for env in setting.env}
    named = {word.partition("=")[0] for word in DOCKERFILE.split() if word.startswith("MODELMUX_")}
    assert named
    assert named | {name for name in compose()["environment"]} <= known  # noqa: C416 - names of a mapping


def test_it_runs_without_rights_on_a_root_it_cannot_write() -> None:
    service = compose()
    assert "USER 10001:10001" in DOCKERFILE
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert "no-new-privileges:true" in service["security_opt"]
    assert "HEALTHCHECK" in DOCKERFILE


def test_it_runs_as_the_owner_of_the_credentials() -> None:
    """Compose keeps owner and mode of a secret; a default would be a user who cannot read it."""
    assert compose()["user"].startswith("${CONTAINER_USER:?")
    documented = (ROOT / "docs/deployment.md").read_text()
    assert 'docker run --user "$(id -u):$(id -g)" ' in documented
    assert "CONTAINER_USER=$(id -u):$(id -g)" in documented


def test_it_is_limited_and_leaves_no_core_dump() -> None:
    service = compose()
    assert re.fullmatch(r"\d+[gm]", service["mem_limit"])
    assert service["pids_limit"] >= 512
    assert service["ulimits"]["core"] == 0
    assert service["ulimits"]["nofile"] >= 65536
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()


def test_every_stage_starts_from_the_same_tag_and_the_digest_if_one_is_pinned() -> None:
    lines = [line for line in DOCKERFILE.splitlines() if line.startswith("FROM")]
    form = re.compile(r"FROM (python:3\.\d+-slim(?:@sha256:[0-9a-f]{64})?)(?: AS [a-z]+)?")
    found = [form.fullmatch(line) for line in lines]
    assert all(found), lines
    assert len({match[1] for match in found if match}) == 1


def test_stopping_waits_longer_than_draining() -> None:
    assert Seconds.parse(compose()["stop_grace_period"]) > Config().server.drain_timeout + 5
