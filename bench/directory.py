"""What many keys cost a process: the time and memory of loading them, in a process of its own."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.store.directory.base import Author
from modelmux.store.directory.sqlite_directory import SqliteDirectory

_TEAMS: Final = 20
_PEOPLE: Final = 500
_BATCH: Final = 5_000
_MIB: Final = 1 << 20


async def fill(path: Path, keys: int, *, secrets: bool = True) -> None:
    """Keys of ``_PEOPLE`` people, in ``_TEAMS`` teams. :param secrets: they have some, of a pepper that is nowhere."""
    store = SqliteDirectory(path)
    teams = [Team(id="team_all", name="all")]
    teams += [Team(id=f"team_{number:02d}", name=f"team {number}", parent="team_all") for number in range(_TEAMS)]
    try:
        for first in range(0, keys, _BATCH):
            numbers = range(first, min(first + _BATCH, keys))
            edit = Edit(
                action="key.create",
                subject="",
                teams=teams if first == 0 else [],
                people=[
                    Person(id=f"usr_{n:026d}", email=f"person{n}@example.com") for n in numbers if n < _PEOPLE
                ],
                keys=[
                    Key(
                        id=f"key_{n:026d}", name=f"key {n}", team=f"team_{n % _TEAMS:02d}",
                        person=f"usr_{n % _PEOPLE:026d}", created=1 + n, created_by="bench",
                    )
                    for n in numbers
                ],
                secrets=[
                    Secret(
                        digest=hashlib.sha256(b"%d" % n).digest(), key=f"key_{n:026d}", pepper="bench",
                        hint=f"sk-mmx-{n:07d}...abcd",
                    )
                    for n in (numbers if secrets else ())
                ],
            )  # fmt: skip
            await store.change(lambda _, edit=edit: edit, Author("bench", "cli"), 1)  # type: ignore[misc]
    finally:
        await store.aclose()


def report(path: Path) -> None:
    """Measure in a process that has done nothing else, and print."""
    subprocess.run([sys.executable, "-m", "bench.directory", str(path)], check=True)


def _measure(path: Path) -> None:
    store = SqliteDirectory(path)
    gc.collect()
    before, began = _resident(), time.perf_counter()
    directory = store.load()
    seconds = time.perf_counter() - began
    gc.collect()
    print(f"{len(directory.keys):,} keys loaded in {seconds:.2f} s, {(_resident() - before) / _MIB:.0f} MiB")
    began = time.perf_counter()
    asyncio.run(_again(store, directory))
    print(f"{'a look that finds nothing new':50} {(time.perf_counter() - began) * 1e3:8.1f} ms")


async def _again(store: SqliteDirectory, directory: Directory) -> None:
    await store.read(directory)
    await store.aclose()


def _resident() -> int:
    """Bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
