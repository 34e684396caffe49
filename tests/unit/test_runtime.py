"""Risk: two requests with one id, in one process or in two."""

from __future__ import annotations

import os
import re
import sys

import pytest

from modelmux.runtime import Ids


@pytest.mark.parametrize("digits", [1, 24, 32, 64])
def test_ids_are_all_different_and_of_the_right_length(digits: int) -> None:
    ids = Ids()
    drawn = [ids.draw(digits) for _ in range(10_000 if digits > 8 else 10)]
    assert all(re.fullmatch(rf"[0-9a-f]{{{digits}}}", id) for id in drawn)
    assert digits == 1 or len(set(drawn)) == len(drawn)


def test_random_bytes_are_read_once_for_many_ids() -> None:
    sizes: list[int] = []

    def random(size: int) -> bytes:
        sizes.append(size)
        return os.urandom(size)

    ids = Ids(random)
    for _ in range(100):
        ids.draw(32)
    assert len(sizes) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_process_draws_other_ids() -> None:
    ids = Ids()
    ids.draw(32)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, ids.draw(32).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(reader, 100).decode()
    os.close(reader)
    os.close(writer)
    assert theirs != ids.draw(32)
