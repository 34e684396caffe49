"""Build the Debian package: ``/usr/bin/python3 packaging/deb/build.py`` (``make deb``).

The gateway and its dependencies, with the versions of the lock file and verified by their hashes, are installed to
``/usr/lib/modelmux``: other programs do not see them, and nothing is downloaded at installation. They are compiled for
one Python version, so the package depends on the one that builds it: that of the distribution.
"""

from __future__ import annotations

import gzip
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LIBRARY = Path("usr/lib/modelmux")
#: For the operator's Prometheus and Grafana; in ``/usr/share/modelmux`` they have the folders that they have here.
MONITORING = [
    ROOT / "packaging" / name for name in ("prometheus/rules.yml", "prometheus/prometheus.yml", "grafana/modelmux.json")
]
LAUNCHER = """\
#!/usr/bin/python3 -I
import sys

sys.path.insert(0, "/usr/lib/modelmux")
from modelmux.cli.main import main

main()
"""

NAMED = "main(prog_name='modelmux')"


def main() -> None:
    version = re.search(r'__version__.*= "(.+)"', (ROOT / "src/modelmux/version.py").read_text())
    if version is None:
        raise SystemExit("error: src/modelmux/version.py holds no version")
    architecture = run("dpkg", "--print-architecture").strip()
    debian = debian_version(version[1])
    with tempfile.TemporaryDirectory() as folder:
        stage = Path(folder) / "stage"
        stage.mkdir(mode=0o755)
        install_library(stage, Path(folder))
        install_files(stage)
        write_control(stage, debian, architecture)
        (ROOT / "dist").mkdir(exist_ok=True)
        package = ROOT / "dist" / f"modelmux_{debian}_{architecture}.deb"
        run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", str(stage), str(package))
    sys.stdout.write(f"{package.relative_to(ROOT)}\n")


def debian_version(version: str) -> str:
    """A Python version as Debian sorts it: a pre-release comes before its release."""
    return re.sub(r"(a|b|rc|\.dev)(\d+)", r"~\1\2", version)


def install_library(stage: Path, folder: Path) -> None:
    """The locked dependencies and the gateway itself, compiled to byte code."""
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = folder / "wheels"
    run(*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(ROOT))
    target = ["install", "--no-compile", "--target", str(stage / LIBRARY)]
    run(*pip, *target, "--require-hashes", "--only-binary", ":all:", "-r", str(ROOT / "requirements/run.lock"))
    run(*pip, *target, "--no-deps", "--upgrade", *map(str, wheels.glob("*.whl")))
    shutil.rmtree(stage / LIBRARY / "bin", ignore_errors=True)
    compile_all = ["-m", "compileall", "-q", "-s", str(stage), "-p", "/", str(stage / LIBRARY)]
    run(sys.executable, *compile_all, "--invalidation-mode", "unchecked-hash")


def install_files(stage: Path) -> None:
    """The command, the unit, the configuration, what watches it, the documents."""
    put(stage / "usr/bin/modelmux", LAUNCHER, 0o755)
    unit = (
        (ROOT / "src/modelmux/cli/service/units/system.service").read_text().replace("{program}", "/usr/bin/modelmux")
    )
    put(stage / "lib/systemd/system/modelmux.service", unit, 0o644)
    put(stage / "usr/lib/sysusers.d/modelmux.conf", (HERE / "sysusers.conf").read_text(), 0o644)
    put(stage / "etc/modelmux/config.toml", (HERE / "config.toml").read_text(), 0o640)
    shared = stage / "usr/share/modelmux"
    for file in MONITORING:
        put(shared / file.relative_to(ROOT / "packaging"), file.read_text(), 0o644)
    documents = stage / "usr/share/doc/modelmux"
    put(documents / "copyright", (HERE / "copyright").read_text(), 0o644)
    put(documents / "README.md", (ROOT / "README.md").read_text(), 0o644)
    changelog = gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), mtime=0)
    (documents / "changelog.gz").write_bytes(changelog)
    for shell, place in (
        ("bash", "usr/share/bash-completion/completions/modelmux"),
        ("zsh", "usr/share/zsh/vendor-completions/_modelmux"),
        ("fish", "usr/share/fish/vendor_completions.d/modelmux.fish"),
    ):
        put(stage / place, completion(stage, shell), 0o644)
    page = stage / "usr/share/man/man1/modelmux.1.gz"
    page.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    page.write_bytes(gzip.compress(manual(stage).encode(), mtime=0))
    page.chmod(0o644)


def completion(stage: Path, shell: str) -> str:
    """click's own script for a shell."""
    code = f"import sys; sys.path.insert(0, {str(stage / LIBRARY)!r}); from modelmux.cli.main import main; main()"
    call = ["env", f"_MODELMUX_COMPLETE={shell}_source", sys.executable, "-I", "-c", code.replace("main()", NAMED)]
    return run(*call)


def manual(stage: Path) -> str:
    """The manual page, from the commands themselves."""
    paths = [str(stage / LIBRARY), str(ROOT)]
    return run(
        sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {paths!r}; from tools.docs.man import main; main()"
    )


def write_control(stage: Path, version: str, architecture: str) -> None:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    after = f"{sys.version_info.major}.{sys.version_info.minor + 1}"
    size = sum(path.stat().st_size for path in stage.rglob("*") if path.is_file()) // 1024
    fields = (HERE / "control").read_text().format(
        version=version, architecture=architecture, size=size, python=python, after=after, libc=libc()
    )  # fmt: skip
    put(stage / "DEBIAN/control", fields, 0o644)
    put(stage / "DEBIAN/conffiles", "/etc/modelmux/config.toml\n", 0o644)
    for script in ("postinst", "prerm", "postrm"):
        put(stage / "DEBIAN" / script, (HERE / script).read_text(), 0o755)


def libc() -> str:
    """The C library the wheels need at least: that of the manylinux tag they are chosen by."""
    return "2.28" if platform.libc_ver()[0] == "glibc" else "0"


def put(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - commands of this file
    if done.returncode:
        raise SystemExit(f"error: {' '.join(command[:4])} …: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


if __name__ == "__main__":
    main()
