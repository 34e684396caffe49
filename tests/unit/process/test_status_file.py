"""Risk: a reload ends the gateway because its result cannot be written; a running gateway looks like none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modelmux.process.reload import ReloadResult
from modelmux.process.status_file import GatewayStatus, StatusFile, read_status
from support.log_lines import Lines


@pytest.fixture
def file(tmp_path: Path) -> StatusFile:
    return StatusFile(tmp_path, GatewayStatus(pid=1, url="http://127.0.0.1:3000/v1", port=3000))


def refuse(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_full_disk_does_not_end_the_gateway(file: StatusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Lines()
    monkeypatch.setattr(os, "pwrite", refuse)
    ReloadResult(["no good"]).report(log, file)
    assert log.lines[-1][1]["message"] == f"{file.path}: cannot be written: No space left on device"
    status = read_status(file.path)
    assert status is not None, "the gateway can still be found"
    assert (status.generation, status.problems) == (1, [])


def test_the_file_is_complete_at_any_time(file: StatusFile, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[GatewayStatus | None] = []

    def look(name: str) -> None:
        original = getattr(os, name)

        def call(*arguments: Any) -> Any:
            seen.append(read_status(file.path))
            result = original(*arguments)
            seen.append(read_status(file.path))
            return result

        monkeypatch.setattr(os, name, call)

    look("pwrite")
    look("ftruncate")
    for problems in ([], ["a long reason why it was rejected"], []):
        file.status.problems = problems
        file.write()
    assert len(seen) == 12
    assert None not in seen
