"""Risk: a header that steers a request is read wrongly, or the server keeps a life cycle of its own."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

import modelmux
from modelmux.dialects.base import Caller, Inbound
from modelmux.dialects.registry import Surface
from modelmux.errors import GatewayError, InvalidRequest, UnsupportedMediaType
from modelmux.gateway.exchange import Exchange
from modelmux.server.body_memory import BodyMemory
from modelmux.server.endpoints import Endpoint
from modelmux.server.health import Readiness
from support.dialects import TINY_HUB
from support.exchange_world import Setting, World

pytestmark = pytest.mark.virtual_time
SURFACE = Surface("POST", "/v1/talk", "generate", TINY_HUB)
BODY = b'{"model": "chat", "prompt": "Hi"}'


async def inbound_of(headers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Inbound:
    """What the gateway receives of a request with these headers."""
    received: list[Inbound] = []

    async def run(inbound: Inbound, dialect: Any, client: Any, services: Any) -> None:
        assert dialect is TINY_HUB
        assert await client.body() == BODY
        received.append(inbound)

    monkeypatch.setattr("modelmux.server.endpoints.run", run)
    endpoint = Endpoint(SURFACE, World(TINY_HUB, Setting()).services, Readiness(), 1024, BodyMemory())
    scope = {"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    await endpoint(scope, receive, send, "req_1", Caller("ann"), {"name": "x"})
    (inbound,) = received
    return inbound


async def test_a_request_becomes_an_inbound(monkeypatch: pytest.MonkeyPatch) -> None:
    inbound = await inbound_of({"content-type": "application/json", "x-other": "1"}, monkeypatch)
    assert inbound == Inbound(
        "req_1", asyncio.get_running_loop().time(), "generate",
        [(b"content-type", b"application/json"), (b"x-other", b"1")], {"name": "x"}, Caller("ann"), False, float("inf"),
        path="/v1/talk",
    )  # fmt: skip
    with pytest.raises(AttributeError):
        inbound.request_id = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "strict"),
    [("1", True), ("true", True), (" TRUE ", True), ("0", False), ("false", False), ("False", False), ("", False)],
)
async def test_strict_mode(value: str, strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await inbound_of({"x-modelmux-strict": value}, monkeypatch)).strict is strict


@pytest.mark.parametrize("value", ["yes", "on", "2", "tru", "true, false", "-", "\u0661"])
async def test_a_value_of_strict_mode_that_is_unknown_is_not_taken_as_off(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidRequest, match="'x-modelmux-strict' is not one of true, false, 1 and 0"):
        await inbound_of({"x-modelmux-strict": value}, monkeypatch)


@pytest.mark.parametrize(("value", "seconds"), [("30", 30.0), (" 2.5 ", 2.5), ("0", 0.0), ("999999999.999999999", 1e9)])
async def test_the_clients_timeout(value: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await inbound_of({"x-modelmux-timeout": value}, monkeypatch)).timeout == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "-1", "1e9", "inf", "nan", "1,5", "9" * 10, "2.", "30s", "٣"])
async def test_a_timeout_that_is_no_number_of_seconds(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="x-modelmux-timeout"):
        await inbound_of({"x-modelmux-timeout": value}, monkeypatch)


async def test_a_body_that_cannot_be_json_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedMediaType):
        await inbound_of({"content-type": "text/plain"}, monkeypatch)


async def test_a_request_is_answered_through_the_gateway() -> None:
    sent: list[Any] = []
    world = World(TINY_HUB, Setting(max_attempts=1))
    endpoint = Endpoint(SURFACE, world.services, Readiness(), 1024, BodyMemory())

    async def receive() -> Any:
        return {"type": "http.request", "body": BODY} if not world.upstream.calls else await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    task = asyncio.create_task(endpoint({"headers": []}, receive, send, "req_1", Caller("ann"), {}))
    await world.settle_down()
    world.upstream.answer(GatewayError("no"))
    with pytest.raises(GatewayError):
        await task
    assert sent == []
    assert world.record.request_bytes == len(BODY)


def test_only_the_gateway_knows_exchanges() -> None:
    """The server makes the ``Inbound`` and implements the ``ClientStream``; the life cycle is the gateway's."""
    server = Path(modelmux.__file__).parent / "server"
    for path in server.rglob("*.py"):
        imported = {
            node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        }  # fmt: skip
        assert "modelmux.gateway.exchange" not in imported, path
        assert "modelmux.gateway.settle" not in imported, path
    assert len(Exchange.__slots__) < 15
    assert msgspec.structs.fields(Inbound)
