"""``python -m support.soon_lost COMMAND…``: the command ``modelmux``, for which a node is lost in seconds."""

from __future__ import annotations

import functools

from modelmux.accounts import silence
from modelmux.cli.main import main
from modelmux.gateway.metering import heartbeat, metering, recovery
from modelmux.store.ledger import postgres_holders

#: Seconds; see the constants of the same names.
STOPS_AFTER, LOST_AFTER, WATCHED = 1.0, 2.0, 1.0


def shorten() -> None:
    metering.STOPS_AFTER = STOPS_AFTER  # type: ignore[misc]
    heartbeat.LOST_AFTER = postgres_holders.LOST_AFTER = LOST_AFTER  # type: ignore[misc]
    metering.Heartbeat = functools.partial(heartbeat.Heartbeat, every=0.2)  # type: ignore[misc,assignment]
    silence.WATCHED = WATCHED  # type: ignore[misc]
    recovery.EVERY = 0.5  # type: ignore[misc]


if __name__ == "__main__":
    shorten()
    main()
