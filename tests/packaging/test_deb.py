"""The Debian package, and the unit of ``modelmux service install --system``, under a real systemd in a container.

It needs root, debootstrap and systemd-nspawn, and takes two minutes: ``make package-test`` runs it, ``make test`` skips
it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
PACKAGES = "systemd,systemd-sysv,dbus,python3,ca-certificates,curl"
UNIT = """
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash /root/trial.sh
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=file:/root/trial.log
StandardError=inherit
[Install]
WantedBy=multi-user.target
"""

pytestmark = [
    pytest.mark.skipif("MODELMUX_PACKAGE_TESTS" not in os.environ, reason="make package-test runs it"),
]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """The root directory of a small Debian."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("debootstrap", "systemd-nspawn", "dpkg-deb"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    if subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        pytest.skip(f"needs pip for {PYTHON}")
    root = tmp_path / "root"
    debootstrap = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(root)]
    subprocess.run(debootstrap, check=True, capture_output=True, timeout=600)
    yield root
    shutil.rmtree(root)


def test_an_administrator_installs_uses_upgrades_and_purges_it(machine: Path) -> None:
    built = subprocess.run([PYTHON, str(ROOT / "packaging/deb/build.py")], check=True, capture_output=True, text=True)
    shutil.copy(ROOT / built.stdout.strip(), machine / "root/modelmux.deb")
    shutil.copy(HERE / "trial.sh", machine / "root/trial.sh")
    units = machine / "etc/systemd/system"
    (units / "trial.service").write_text(UNIT)
    wants = units / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "trial.service").symlink_to("../trial.service")
    boot = ["systemd-nspawn", "--quiet", "-D", str(machine), "--boot", "--register=no", "--keep-unit"]
    console = subprocess.run(boot, capture_output=True, text=True, timeout=240, check=False)
    log = machine / "root/trial.log"
    if not log.exists():
        pytest.skip(f"no container boots here: {(console.stdout + console.stderr)[-300:]}")
    assert log.read_text().rstrip().endswith("THE SERVICE WORKS"), log.read_text()[-3000:]
