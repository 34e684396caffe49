"""What a service manager may pass, without a process for each case. ``tests/chaos/test_upgrade.py`` has processes."""

from __future__ import annotations

import pytest

from modelmux.process.listen import ListenError, listen_many, pass_connections_on, passed_socket


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "8"},  # of a parent
        {"LISTEN_FDS": "0", "LISTEN_PID": "7"},
        {"LISTEN_FDS": "x", "LISTEN_PID": "7"},
    ],
)
def test_no_socket_was_passed(environment: dict[str, str]) -> None:
    assert passed_socket(environment, 7) is None


def test_several_sockets_are_refused() -> None:
    with pytest.raises(ListenError, match="passed 2 sockets"):
        passed_socket({"LISTEN_FDS": "2", "LISTEN_PID": "7"}, 7)


def test_workers_that_share_a_port_with_another_gateway_have_one_socket() -> None:
    first = listen_many("127.0.0.1", 0, 3, reuse_port=True)
    assert len(set(first)) == 1
    port = first[0].getsockname()[1]
    second = listen_many("127.0.0.1", port, 2, reuse_port=True)
    with pytest.raises(ListenError, match="in use"):
        listen_many("127.0.0.1", port, 1)
    pass_connections_on(first[0])
    for sock in (first[0], second[0]):
        sock.close()
    pass_connections_on(first[0])  # a failure does not matter
