"""What is known of a deployment when it is chosen, and what the end of an attempt says of it. Data and one table."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.errors import GatewayError, UpstreamBroken, UpstreamRefused, UpstreamTimeout, UpstreamUnreachable

#: Kinds of refusal (translate.errors) that speak of the place, not of the request or its quota.
_OF_THE_PLACE: Final = frozenset({"overloaded", "server_error", "timeout"})


class Standing(Struct, frozen=True):
    """One deployment at one moment; times in seconds of the caller's clock.

    :param out: an open breaker, a resting quota or no free place: others come first.
    :param back_at: when that may be over.
    :param wait_until: until then the upstream asked to be left alone; 0 if it did not.
    :param in_flight: attempts that run there now, streams included.
    :param no_quota: its quota seems to be zero; while it is ``out`` no attempt goes there.
    """

    out: bool = False
    back_at: float = 0.0
    wait_until: float = 0.0
    in_flight: int = 0
    no_quota: bool = False


FREE: Final = Standing()


def failed(error: GatewayError | None) -> bool | None:
    """Whether the end of an attempt speaks against its place: None for one that says nothing of it (the client's
    fault, a quota, a bound or a deadline of ours)."""
    if error is None:
        return False
    if isinstance(error, UpstreamRefused):
        return True if error.kind in _OF_THE_PLACE else None
    if isinstance(error, UpstreamTimeout):
        return None if error.clock == "total" else True
    return True if isinstance(error, UpstreamUnreachable | UpstreamBroken) else None
