"""What people are told of a shutdown."""

from __future__ import annotations

import pytest

from modelmux.process.stop_messages import ending_message, stopping_message

DELAYED = (
    "serving for 2.5 s more, so that load balancers notice; then waiting up to 30 s for requests to finish "
    "(0 requests now); a second Ctrl-C or SIGTERM ends this at once"
)


@pytest.mark.parametrize(
    ("running", "delay", "says"),
    [
        (0, 0.0, "no request is running"),
        (1, 0.0, "waiting up to 30 s for 1 request to finish; a second Ctrl-C or SIGTERM ends it at once"),
        (2, 0.0, "waiting up to 30 s for 2 requests to finish; a second Ctrl-C or SIGTERM ends them at once"),
        (0, 2.5, DELAYED),
    ],
)
def test_it_says_what_is_waited_for_and_how_to_end_that(running: int, delay: float, says: str) -> None:
    assert stopping_message(running, delay, 30) == says


def test_the_end_of_the_drain_says_how_many_requests_it_cuts() -> None:
    assert ending_message(1) == "ending 1 request; clients get an error"
    assert ending_message(3) == "ending 3 requests; clients get an error"
