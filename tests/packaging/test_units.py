"""The unit files: systemd understands them, and they give away nothing that is not needed."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")


def unit(folder: Path, name: str) -> Path:
    text = resources.files("modelmux.cli.service").joinpath("units", name).read_text("utf-8")
    path = folder / "modelmux.service"
    path.write_text(text.replace("{program}", "/bin/true"))
    return path


@needs_systemd
@pytest.mark.parametrize("name", ["system.service", "user.service"])
def test_systemd_understands_every_line(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", *(["--user"] if name.startswith("user") else []), str(unit(tmp_path, name))],
        capture_output=True, text=True, timeout=100, check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if "modelmux.service" in line]
    assert complaints == []


@needs_systemd
def test_the_system_unit_is_hardened(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--no-pager", "--offline=true", str(unit(tmp_path, "system.service"))],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    if level is None:
        pytest.skip("this systemd-analyze judges no unit offline")
    assert float(level[1]) <= 1.5


@pytest.mark.parametrize("name", ["system.service", "user.service"])
def test_stopping_waits_longer_than_draining(tmp_path: Path, name: str) -> None:
    from modelmux.config import Config

    text = unit(tmp_path, name).read_text()
    limit = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert limit is not None
    assert int(limit[1]) > Config().server.drain_timeout + 5


@pytest.mark.parametrize("name", ["system.service", "user.service"])
def test_a_start_may_take_as_long_as_an_upgrade_of_the_ledger(tmp_path: Path, name: str) -> None:
    """Three steps of ``migration_timeout``, which the URL of the ledger may set to days."""
    assert "TimeoutStartSec=infinity" in unit(tmp_path, name).read_text().splitlines()


@pytest.mark.parametrize("name", ["system.service", "user.service"])
def test_it_is_limited_and_leaves_no_core_dump(tmp_path: Path, name: str) -> None:
    lines = unit(tmp_path, name).read_text().splitlines()
    assert {"LimitCORE=0", "OOMPolicy=continue"} <= set(lines)
    limits = dict(line.split("=", 1) for line in lines if line.startswith(("MemoryMax=", "TasksMax=")))
    assert re.fullmatch(r"[1-9]\d%", limits["MemoryMax"])
    assert int(limits["TasksMax"]) >= 64 * 12, "the most workers, each with its threads"


def test_what_the_system_unit_keeps_is_private_and_a_purge_removes_it(tmp_path: Path) -> None:
    text = unit(tmp_path, "system.service").read_text()
    assert "StateDirectory=modelmux\nStateDirectoryMode=0700\n" in text
    purge = (Path(__file__).resolve().parents[2] / "packaging/deb/postrm").read_text()
    assert "rm -rf /var/log/modelmux /var/lib/modelmux\n" in purge
