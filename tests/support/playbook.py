"""Scripts of one exchange, in the manner of mitmproxy's ``Playbook``: what happens to it, and what comes of it.

    await (
        Playbook(TINY_HUB)
        << calls("a") >> head() >> sends(*text_events("Hi"))
        << starts() << gets(b"...") << ends(b"...")
    ).play()

``>>`` is an event: of the upstream, of the client, of the process, of time. ``<<`` is an effect. Effects are compared
in order and completely: one that the script does not name fails the test. An exchange that is over has to have been
settled once, with every lease, gate and reply released.

Runs ``gateway.run.run`` in virtual time (``support.clock``), without sockets.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Self

from modelmux.dialects.base import Dialect
from modelmux.errors import GatewayDraining, GatewayError
from support.exchange_world import Called, Effect, Ended, Got, Raised, Responded, ScriptedReply, Setting, Started, World

Event = Callable[[World], None]
Expectation = Callable[[World], None]


class Playbook:
    """A script; ``await play()`` performs it.

    :param dialect: of the client.
    :param setting: see ``Setting``.
    """

    def __init__(self, dialect: Dialect, **setting: Any) -> None:
        self._dialect = dialect
        self._setting = Setting(**setting)
        self._steps: list[tuple[bool, Any]] = []
        self.world: World | None = None

    def __rshift__(self, event: Any) -> Self:
        self._steps.append((True, event))
        return self

    def __lshift__(self, expectation: Expectation) -> Self:
        self._steps.append((False, expectation))
        return self

    async def play(self) -> World:
        """:returns: the world after the exchange, for further assertions."""
        world = self.world = World(self._dialect, self._setting)
        world.start()
        try:
            await world.settle_down()
            for is_event, step in self._steps:
                if not is_event:
                    step(world)
                    continue
                assert not world.effects, f"not expected: {world.effects}"
                await _happen(world, step)
                await world.settle_down()
            assert not world.effects, f"not expected: {world.effects}"
            world.check_released()
        finally:
            await world.finish()
        return world


async def _happen(world: World, event: Any) -> None:
    result = event(world)
    if asyncio.iscoroutine(result):
        await result


# Events


def head(status: int = 200, content_type: str = "text/event-stream", **headers: str) -> Event:
    """The upstream sends the head of its reply."""
    pairs = [(b"content-type", content_type.encode())]
    pairs += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return lambda world: world.upstream.answer(ScriptedReply(status, pairs))


def refuses(error: BaseException) -> Event:
    """The call gets no reply."""
    return lambda world: world.upstream.answer(error)


def sends(*pieces: bytes) -> Event:
    """The upstream sends bytes, each piece for a read of its own."""

    def send(world: World) -> None:
        for piece in pieces:
            world.upstream.replies[-1].arrive(piece)

    return send


def streams(*pieces: bytes) -> Event:
    """The upstream sends the rest of its reply."""

    def send(world: World) -> None:
        sends(*pieces)(world)
        closes()(world)

    return send


def breaks(error: BaseException) -> Event:
    """The reply breaks off."""
    return lambda world: world.upstream.replies[-1].arrive(error)


def closes() -> Event:
    """The reply is complete."""
    return lambda world: world.upstream.replies[-1].arrive(None)


def replies(body: Any, status: int = 200, **headers: str) -> Event:
    """The upstream sends a complete JSON reply."""

    def reply(world: World) -> None:
        head(status, "application/json", **headers)(world)
        sends(json.dumps(body).encode())(world)
        closes()(world)

    return reply


def pause(seconds: float) -> Any:
    """Time passes."""
    return lambda world: asyncio.sleep(seconds)


def keep_alive(idle: float = 15.0) -> Event:
    """The client has waited long enough for a sign of life."""
    return lambda world: world.client.send_keep_alive(idle)


def leaves() -> Event:
    """The client leaves."""
    return lambda world: world.client.leave()


def stops_reading() -> Event:
    """The client reads no more: the next write waits."""
    return lambda world: world.client.read(reading=False)


def reads_again() -> Event:
    return lambda world: world.client.read(reading=True)


def shutdown() -> Event:
    """The process ends and cancels what runs."""

    def end(world: World) -> None:
        world.client.ending = GatewayDraining("The gateway is shutting down.")
        cancel()(world)

    return end


def cancel() -> Event:
    """Something else cancels the request."""

    def end(world: World) -> None:
        assert world.task is not None
        world.task.cancel()

    return end


def opens_gate() -> Event:
    return lambda world: world.gate.open.set()


# Effects


def _next(world: World, kind: type[Any]) -> Any:
    assert world.effects, f"expected {kind.__name__}, and nothing happened"
    effect = world.effects.pop(0)
    assert isinstance(effect, kind), f"expected {kind.__name__}: {effect}"
    return effect


def calls(deployment: str) -> Expectation:
    """A call was sent."""

    def check(world: World) -> None:
        assert _next(world, Called).deployment == deployment

    return check


def starts(**headers: str) -> Expectation:
    """The head of a stream was sent, with these headers among others."""

    def check(world: World) -> None:
        sent = _next(world, Started).headers
        assert {name.replace("_", "-"): value for name, value in headers.items()}.items() <= sent.items()

    return check


def gets(data: bytes) -> Expectation:
    """The client got these bytes, in one write or several."""

    def check(world: World) -> None:
        received = _next(world, Got).data
        while world.effects and isinstance(world.effects[0], Got):
            received += _next(world, Got).data
        assert received == data

    return check


def ends(data: bytes = b"") -> Expectation:
    """The stream ended, with these bytes last."""

    def check(world: World) -> None:
        assert _next(world, Ended).data == data

    return check


def responds(body: Any, **headers: str) -> Expectation:
    """A JSON response was sent."""

    def check(world: World) -> None:
        response = _next(world, Responded)
        assert json.loads(response.body) == body
        assert {name.replace("_", "-"): value for name, value in headers.items()}.items() <= response.headers.items()

    return check


def fails(kind: str, message: str | None = None) -> Expectation:
    """The error went to the server, which sends it as a response."""

    def check(world: World) -> None:
        error = _next(world, Raised).error
        assert isinstance(error, GatewayError), repr(error)
        assert error.kind.name == kind
        assert (message or "") in error.public_message, error.public_message

    return check


def raises(kind: type[BaseException]) -> Expectation:
    """Something else went to the server."""

    def check(world: World) -> None:
        assert isinstance(_next(world, Raised).error, kind)

    return check


def settled(outcome: str, **fields: Any) -> Expectation:
    """The exchange was settled, with these values in its record."""

    def check(world: World) -> None:
        record = world.record
        assert record.outcome == outcome
        assert {name: getattr(record, name) for name in fields} == fields

    return check


def not_settled() -> Expectation:
    """The exchange still runs."""

    def check(world: World) -> None:
        assert not world.over
        assert world.observer.records == []

    return check


def anything() -> Expectation:
    """Effects that do not matter here."""

    def check(world: World) -> None:
        assert world.effects
        world.effects.clear()

    return check


def completes(data: bytes) -> Expectation:
    """The client got these bytes and no others, and its stream ended."""

    def check(world: World) -> None:
        effects = list(world.effects)
        world.effects.clear()
        assert client_output(effects) == data
        assert isinstance(effects[-1], Ended)
        assert all(isinstance(effect, Got | Ended) for effect in effects)

    return check


def client_output(effects: Sequence[Effect]) -> bytes:
    """All bytes of a stream."""
    return b"".join(effect.data for effect in effects if isinstance(effect, Got | Ended))
