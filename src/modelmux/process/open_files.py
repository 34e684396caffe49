"""The limit of open files: a running request needs two, the client's connection and the upstream's.

Many systems start programs with a soft limit of 1024 for the sake of old ones, and let them raise it.
"""

from __future__ import annotations

import contextlib
from typing import Final

#: In addition to the connections of requests: logs, libraries, the listening socket, idle connections.
_OTHER_FILES: Final = 512


def raise_open_file_limit(requests: int) -> str | None:
    """Let this process, and those it starts, open the files that ``requests`` concurrent requests need.

    :returns: a message for the operator if the system does not allow that.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    needed = 2 * requests + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft == unlimited or soft >= needed:
        return None
    target = needed if hard == unlimited else min(needed, hard)
    with contextlib.suppress(ValueError, OSError):  # macOS refuses more than its kernel's own limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
        soft = target
    if soft >= needed:
        return None
    return (
        f"this process may open {soft} files, but {requests} concurrent requests (limits.max_concurrent_requests) need "
        f"{needed}: raise the limit (ulimit -n, LimitNOFILE= of the service) or lower limits.max_concurrent_requests"
    )
