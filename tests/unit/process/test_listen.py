"""What a service manager may pass, without a process for each case. ``tests/chaos/test_upgrade.py`` has processes."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from modelmux.process.listen import ListenError, listen_many, listeners, pass_connections_on, passed_socket


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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers have one socket, which cannot be joined")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_shared_port_does_not_join_the_workers_of_a_gateway_that_does_not_share(host: str) -> None:
    try:
        workers = listen_many(host, 0, 2)
    except ListenError:
        pytest.skip("no IPv6")
    with pytest.raises(ListenError, match="several sockets listen on port"):
        listen_many(host, workers[0].getsockname()[1], 1, reuse_port=True)
    for sock in workers:
        sock.close()


@pytest.mark.parametrize("lines", [None, "", "  sl  local_address\n   0: x\n"])
def test_listeners_that_cannot_be_counted_do_not_matter(lines: str | None, tmp_path: Path) -> None:
    if lines is not None:
        (tmp_path / "tcp").write_text(lines)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert listeners(sock, tmp_path) == 0
