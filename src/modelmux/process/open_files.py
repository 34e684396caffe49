"""How many files the process may have open: two for every request that runs, the client's connection and ours.

Many systems start a program with a soft limit of 1024 for the sake of old ones, and let it ask for more.
"""

from __future__ import annotations

import contextlib
from typing import Final

#: Beside the connections: logs, libraries, the listening socket, idle connections kept for later.
_OTHERS: Final = 512


def enough_open_files(requests: int) -> str | None:
    """Let this process, and those it starts, open what so many requests at a time need.

    :returns: what an operator should know, if they may not.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    needed = 2 * requests + _OTHERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= needed:
        return None
    wanted = needed if hard == unlimited else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses more than its kernel's own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft >= needed:
        return None
    return (
        f"this process may open {soft} files, and {requests} requests at a time (limits.max_concurrent_requests) need "
        f"{needed}: raise the limit (ulimit -n, LimitNOFILE= of the service) or lower limits.max_concurrent_requests"
    )
