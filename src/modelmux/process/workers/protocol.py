"""What a supervisor and its workers say to each other, and how it looks on the socket pair between them.

Frames: four bytes of length, then MessagePack. No sockets, no decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from modelmux.telemetry.worker_metrics import Report, Whole

_LENGTH: Final = 4
#: The largest message is a report: some hundred bytes for each route and deployment.
MAX_FRAME: Final = 64 * 2**20


class Message(msgspec.Struct, tag=True, array_like=True):
    """One of those below."""


class Tell(Message):
    """To a worker: report, and name this number. It is the sign of life too."""

    number: int
    metrics: bool


class Leave(Message):
    """To a worker: drain and end; with ``at_once``, end the running requests too."""

    at_once: bool


class Care(Message):
    """To a worker: the listening sockets that it accepts from beside its own, all of them."""

    sockets: list[int]


class Adopt(Message):
    """To a worker: serve by this configuration.

    :param config: the settings of all sources together, as MessagePack.
    """

    generation: int
    config: bytes


class Answer(Message):
    """To a worker: how the whole is, in answer to its ``Ask`` of that number."""

    number: int
    whole: Whole


class Ready(Message):
    """From a worker: it accepts requests."""


class Leaving(Message):
    """From a worker: it will not accept much longer, whoever told it to end."""


class Said(Message):
    """From a worker: its report. Number 0 is its last one."""

    number: int
    report: Report


class Ask(Message):
    """From a worker: how are all of us? With its own report."""

    number: int
    metrics: bool
    report: Report


class Adopted(Message):
    """From a worker: it serves by the configuration of that generation.

    :param problem: why it does not.
    """

    generation: int
    problem: str | None


ToWorker = Tell | Leave | Care | Adopt | Answer
ToSupervisor = Ready | Leaving | Said | Ask | Adopted

_ENCODER: Final = msgspec.msgpack.Encoder()
AT_WORKER: Final = msgspec.msgpack.Decoder(ToWorker)
AT_SUPERVISOR: Final = msgspec.msgpack.Decoder(ToSupervisor)


def frame(message: ToWorker | ToSupervisor) -> bytes:
    """A message as it is sent."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


class Frames:
    """Bytes as they arrive -> messages' bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """:raises ValueError: that is no frame of ours."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH:
            size = int.from_bytes(self._buffer[:_LENGTH], "big")
            if size > MAX_FRAME:
                raise ValueError("a frame is larger than any message")
            if len(self._buffer) < _LENGTH + size:
                return
            body = bytes(self._buffer[_LENGTH : _LENGTH + size])
            del self._buffer[: _LENGTH + size]
            yield body
