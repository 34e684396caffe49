"""Two versions that may use one PostgreSQL database: out of the history of this checkout, or made from it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from modelmux.store.postgres.migrate import postgres_migrations, usable_from

_ROOT: Final = Path(__file__).resolve().parents[2]


def _git(*arguments: str) -> bytes | None:
    """What it prints; None if it fails, or is not there."""
    try:
        result = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, check=False, timeout=100)
    except OSError:
        return None
    return None if result.returncode else result.stdout


_SOURCE: Final = _ROOT / "src"
_POSTGRES: Final = Path("modelmux/store/migrations/postgres")
_LAST: Final = postgres_migrations()[-1].number


class NoEarlierVersion(Exception):
    """There is none here that may run beside this one; says why."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Source folders of two that may use a database together, and the number of the last migration of each."""

    old: Path
    old_last: int
    new: Path
    new_last: int


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """The oldest version that may run beside this one, and this one. Where the history has none: this one and the next
    one, which is this one with one migration more."""
    oldest = max(map(usable_from, postgres_migrations()))
    try:
        return Versions(_with_last(oldest, tmp_path_factory.mktemp("earlier")), oldest, _SOURCE, _LAST)
    except NoEarlierVersion:
        return Versions(_SOURCE, _LAST, _next(tmp_path_factory.mktemp("next")), _LAST + 1)


def _with_last(number: int, folder: Path) -> Path:
    """The source folder of the last version whose last migration is this. :raises NoEarlierVersion:"""
    if number == _LAST:
        raise NoEarlierVersion("the latest migration lets no earlier version use the database")
    last, after = (_POSTGRES / migration.name for migration in postgres_migrations()[number - 1 : number + 1])
    source = source_before(f"src/{after}", folder)
    if not (source / last).exists():
        raise NoEarlierVersion(f"no version in the history of this checkout has {last.name} as its last migration")
    return source


def _next(folder: Path) -> Path:
    source = folder / "src"
    shutil.copytree(_SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / _POSTGRES / f"{_LAST + 1:04}_next.sql").write_text(
        f"-- usable from {_LAST}\nCREATE TABLE next (number bigint);\n"
    )
    return source


def source_before(path: str, folder: Path) -> Path:
    """The source folder of the version before a file was added to the main line.

    A file that is not committed yet was added after the latest commit.

    :param path: of the file, from the root of the checkout. :param folder: gets the source.
    :raises NoEarlierVersion: without that history.
    """
    added = _git("log", "--first-parent", "--diff-filter=A", "--format=%H", "-1", "--", path)
    if added is None:
        raise NoEarlierVersion("no history: this is not a checkout of git")
    commit = f"{added.decode().strip()}^" if added else "HEAD"
    archive = _git("archive", "--format=tar", commit, "src")
    if archive is None:
        raise NoEarlierVersion(f"the history of this checkout does not go back to the version before {path}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder / "src"
