"""Whether a gateway is running at an address of this machine."""

from __future__ import annotations

import http.client
import json
from typing import Final

#: Seconds to wait for the program on the port to identify itself.
_TIMEOUT: Final = 2.0


def running_version(host: str, port: int) -> str | None:
    """The version of the modelmux that is running there; None if it is another program, or none."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    connection = http.client.HTTPConnection(reachable, port, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/")
        page = json.loads(connection.getresponse().read(4096))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return str(page.get("version")) if isinstance(page, dict) and page.get("name") == "modelmux" else None
