"""The source of an earlier version, out of the history of this checkout."""

from __future__ import annotations

import io
import subprocess
import tarfile
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


#: The last migration that the oldest version has which may run beside this one.
OLDEST: Final = max(map(usable_from, postgres_migrations()))
LATEST: Final = postgres_migrations()[-1].number


class NoEarlierVersion(Exception):
    """There is none here that may run beside this one; says why."""


@pytest.fixture(scope="session")
def found_earlier(tmp_path_factory: pytest.TempPathFactory) -> Path | NoEarlierVersion:
    """The source folder of the last version whose last migration is ``OLDEST``."""
    if OLDEST == LATEST:
        return NoEarlierVersion("the latest migration lets no earlier version use the database")
    name = postgres_migrations()[OLDEST].name
    try:
        return source_before(f"src/modelmux/store/migrations/postgres/{name}", tmp_path_factory.mktemp("earlier"))
    except NoEarlierVersion as error:
        return error


@pytest.fixture(scope="session")
def earlier(found_earlier: Path | NoEarlierVersion) -> Path:
    """As ``found_earlier``; skips without it."""
    if isinstance(found_earlier, NoEarlierVersion):
        pytest.skip(str(found_earlier))
    return found_earlier


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
