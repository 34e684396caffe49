"""Host names: what no client would send would silently allow nobody."""

from __future__ import annotations

import pytest

from modelmux.config import ConfigError
from modelmux.config.allowed_hosts import read_hosts


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("gateway.lan", "gateway.lan"),
        (" Gateway.LAN. ", "gateway.lan"),
        ("laptop", "laptop"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]", "[fd00::1]"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_name_as_clients_send_it(given: str, read: str) -> None:
    assert read_hosts([given]) == {read}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("http://gateway.lan", "the scheme and the path"),
        ("gateway.lan/v1", "the scheme and the path"),
        ("gateway.lan:3000", "the port"),
        ("[fd00::1]:3000", "the port"),
        ("fd00::1", "in brackets"),
        ("*", "server.api_keys"),
        ("*.lan", "server.api_keys"),
        ("", "Host header"),
        ("bücher.example", "punycode"),
        ("a b", "Host header"),
        (".lan", "Host header"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(given: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_hosts(["ok", given])
    (problem,) = caught.value.problems
    assert problem.startswith("server.allowed_hosts[1]: ")
    assert says in problem
