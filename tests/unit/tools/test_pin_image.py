"""The digest of a base image: asked from the registry, written into every FROM line, and nothing else changed."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from tools.pin_image import DOCKERFILE, digest_of, images, main, pin, unpinned

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
TEXT = f"# FROM a comment\nFROM python:3.13-slim AS build\nRUN x\nFROM build\nFROM python:3.13-slim@{OLD}\nCOPY a b\n"


class Registry:
    def __init__(self, digest: str = NEW) -> None:
        self.requests: list[urllib.request.Request] = []
        self._digest = digest

    def __call__(self, request: urllib.request.Request) -> tuple[Mapping[str, str], bytes]:
        self.requests.append(request)
        if request.get_method() == "GET":
            return {}, json.dumps({"token": "t"}).encode()
        return {"docker-content-digest": self._digest}, b""


def test_every_line_gets_the_digest_and_nothing_else_changes() -> None:
    assert images(TEXT) == unpinned(TEXT) == ["python:3.13-slim"]
    pinned = pin(TEXT, {"python:3.13-slim": NEW})
    assert pinned == (
        f"# FROM a comment\nFROM python:3.13-slim@{NEW} AS build\nRUN x\nFROM build\nFROM python:3.13-slim@{NEW}\n"
        "COPY a b\n"
    )
    assert unpinned(pinned) == []


def test_the_registry_is_asked_for_the_index_of_all_platforms() -> None:
    registry = Registry()
    assert digest_of("python:3.13-slim", registry) == NEW
    token, manifest = registry.requests
    assert token.full_url.endswith("scope=repository:library/python:pull")
    assert manifest.full_url == "https://registry-1.docker.io/v2/library/python/manifests/3.13-slim"
    assert manifest.get_header("Authorization") == "Bearer t"
    assert "index" in manifest.get_header("Accept", "")


def test_it_writes_the_file_and_checks_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(TEXT)
    assert main(["--check"], path=path) == 1
    assert "python:3.13-slim has no digest" in capsys.readouterr().err
    assert main([], Registry(), path) == 0
    assert path.read_text() == pin(TEXT, {"python:3.13-slim": NEW})
    assert main(["--check"], path=path) == 0


def test_without_an_answer_the_file_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text(TEXT)

    def unreachable(_request: urllib.request.Request) -> tuple[Mapping[str, str], bytes]:
        raise OSError("no route")

    for fetch in (unreachable, Registry("latest")):
        assert main([], fetch, path) == 1
        assert "hint:" in capsys.readouterr().err
    assert path.read_text() == TEXT


def test_the_real_file_can_be_pinned() -> None:
    text = DOCKERFILE.read_text()
    digests = dict.fromkeys(images(text), NEW)
    assert pin(text, digests).count(f"@{NEW}") == sum(line.startswith("FROM ") for line in text.splitlines())
