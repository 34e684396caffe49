"""What a gateway that stops says to people: what it waits for, for how long, and how to end that. Pure functions."""

from __future__ import annotations

_AGAIN = "a second Ctrl-C or SIGTERM"


def stopping_message(running: int, delay: float, timeout: float) -> str:
    """After the first signal.

    :param running: requests in flight.
    :param delay: seconds for which requests are still accepted, so that load balancers notice.
    :param timeout: seconds that requests have to finish afterwards.
    """
    if delay:
        then = f"then waiting up to {_seconds(timeout)} for requests to finish ({_requests(running)} now)"
        return f"serving for {_seconds(delay)} more, so that load balancers notice; {then}; {_AGAIN} ends this at once"
    if not running:
        return "no request is running"
    them = "it" if running == 1 else "them"
    return f"waiting up to {_seconds(timeout)} for {_requests(running)} to finish; {_AGAIN} ends {them} at once"


def ending_message(running: int) -> str:
    """After a second signal, or when the time is over."""
    return f"ending {_requests(running)}; clients get an error"


def _requests(count: int) -> str:
    return f"{count} request{'' if count == 1 else 's'}"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s"
