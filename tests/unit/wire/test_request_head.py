"""The head of a request: headers the connection adds, and protection against request smuggling."""

from __future__ import annotations

import pytest

from modelmux.wire.http import Headers, HttpCall, Origin, Timeouts
from modelmux.wire.request_head import encode_head
from support.http_transport import request


def test_a_complete_head() -> None:
    what = request(b"12345", headers=[(b"Authorization", b"Bearer x"), (b"x-odd", b"caf\xc3\xa9\t!")])
    assert encode_head(what) == (
        b"POST /v1/x HTTP/1.1\r\nhost: upstream.example\r\nconnection: keep-alive\r\naccept-encoding: identity\r\n"
        b"Authorization: Bearer x\r\nx-odd: caf\xc3\xa9\t!\r\ncontent-length: 5\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("method", "body", "line"),
    [("POST", b"", b"content-length: 0\r\n"), ("GET", b"", None), ("HEAD", b"", None), ("GET", b"x", b"length: 1\r\n")],
)
def test_a_content_length_is_sent_if_the_method_has_a_body(method: str, body: bytes, line: bytes | None) -> None:
    head = encode_head(request(body, method=method))
    assert head.endswith(b"\r\n\r\n")
    assert line in head if line is not None else b"content-length" not in head


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (Origin("https", "a.example", 443), b"a.example"),
        (Origin("https", "a.example", 8443), b"a.example:8443"),
        (Origin("http", "::1", 80), b"[::1]"),
        (Origin("http", "::1", 443), b"[::1]:443"),
    ],
)
def test_the_host_header_has_the_port_unless_it_is_the_default(origin: Origin, host: bytes) -> None:
    assert b"\r\nhost: " + host + b"\r\n" in encode_head(HttpCall(origin, "/", [], b"", Timeouts()))


@pytest.mark.parametrize("bad", [b"\r\n", b"\r", b"\n", b"\0"])
@pytest.mark.parametrize("where", ["name", "value"])
def test_a_header_value_cannot_contain_another_header(bad: bytes, where: str) -> None:
    evil = b"x" + bad + b"secret: 1"
    headers: Headers = [(evil, b"1")] if where == "name" else [(b"x", evil)]
    with pytest.raises(ValueError) as caught:
        encode_head(request(headers=headers))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", [b"", b"x y", b"x:", b" x", b"x\xe9", b"x\t"])
def test_a_header_name_is_a_token(name: bytes) -> None:
    with pytest.raises(ValueError, match="malformed"):
        encode_head(request(headers=[(name, b"1")]))


@pytest.mark.parametrize(
    "name", [b"Host", b"content-length", b"Connection", b"transfer-encoding", b"Accept-Encoding", b"expect"]
)
def test_headers_set_by_the_connection_are_rejected(name: bytes) -> None:
    with pytest.raises(ValueError, match="set by the connection"):
        encode_head(request(headers=[(name, b"1")]))


@pytest.mark.parametrize("target", ["", "x", "/a b", "/a\r\nx: y", "/\0", "/é", "/\x7f", "http://x/", "*"])
def test_a_target_is_a_path_of_visible_ascii(target: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        encode_head(HttpCall(Origin("http", "a.example", 80), target, [], b"", Timeouts()))


@pytest.mark.parametrize("method", ["", "post", "GET ", "GET\r\n", "G T"])
def test_a_method_is_upper_case_letters(method: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        encode_head(request(method=method))


@pytest.mark.parametrize("host", ["a.example\r\nx: y", "a b", "a/b", "é.example", "a@b", ""])
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        encode_head(HttpCall(Origin("http", host, 80), "/", [], b"", Timeouts()))
