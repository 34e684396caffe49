"""Risk: a gateway that promises 4,096 requests and fails at 500, because nobody asked the system for more files."""

from __future__ import annotations

import subprocess
import sys

import pytest

resource = pytest.importorskip("resource")

SCRIPT = """
import resource, sys
from modelmux.process.open_files import raise_open_file_limit
soft, hard, requests = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_open_file_limit(requests))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "requests", "after", "warned"),
    [
        (256, 4096, 1000, 2512, False),
        (256, 2512, 1000, 2512, False),
        (256, 2511, 1000, 2511, True),
        (3000, 4096, 1000, 3000, False),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, requests: int, after: int, warned: bool) -> None:
    arguments = [sys.executable, "-c", SCRIPT, str(soft), str(hard), str(requests)]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert int(said[1]) == after
    assert (said[0] != "None") == warned
    if warned:
        assert "limits.max_concurrent_requests" in said[0]
        assert "ulimit -n" in said[0]
