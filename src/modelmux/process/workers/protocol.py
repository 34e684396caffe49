"""Messages between a supervisor and its children, the workers and the process of the admin API, and their encoding on
the socket pair between them.

A frame is four bytes of length, then MessagePack. What workers count does not come this way (see ``scoreboard.py``).
Not in this module: sockets, decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

_LENGTH: Final = 4
#: The largest message is a configuration.
MAX_FRAME: Final = 64 * 2**20


class Message(msgspec.Struct, tag=True, array_like=True):
    """One of those below."""


class Shutdown(Message):
    """To a worker: drain and exit; with ``at_once``, end the running requests too."""

    at_once: bool


class ServeSockets(Message):
    """To a worker: all listening sockets that it accepts from in addition to its own."""

    sockets: list[int]


class ApplyConfig(Message):
    """To a worker: switch to this configuration.

    :param config: the merged settings of all sources, as MessagePack.
    :param settings: with their origins and without secrets, for the process of the admin API; empty for others.
    """

    generation: int
    config: bytes
    settings: bytes = b""


class ReadDirectory(Message):
    """To a worker: the directory of accounts has this version; read it."""

    version: int


class Question(Message):
    """To a worker: answer this. :param number: of the question. :param body: for whoever answers it."""

    number: int
    body: bytes


class WorkerAnswer(Message):
    """To the process of the admin API: what a worker has answered."""

    number: int
    worker: int
    body: bytes


class Ready(Message):
    """From a worker: it accepts requests."""


class Draining(Message):
    """From a worker: it is about to stop accepting, whatever the reason."""


class ConfigApplied(Message):
    """From a worker: the configuration of that generation is in force.

    :param problem: why it is not.
    """

    generation: int
    problem: str | None


class DirectoryChanged(Message):
    """From the process of the admin API: it has written this version of the directory."""

    version: int


class AskWorkers(Message):
    """From the process of the admin API: a question to workers. :param worker: to this one alone; 0 to all."""

    number: int
    worker: int
    body: bytes


class Answer(Message):
    """From a worker: the answer to a question."""

    number: int
    body: bytes


ToWorker = Shutdown | ServeSockets | ApplyConfig | ReadDirectory | Question | WorkerAnswer
ToSupervisor = Ready | Draining | ConfigApplied | DirectoryChanged | AskWorkers | Answer

_ENCODER: Final = msgspec.msgpack.Encoder()
WORKER_DECODER: Final = msgspec.msgpack.Decoder(ToWorker)
SUPERVISOR_DECODER: Final = msgspec.msgpack.Decoder(ToSupervisor)


def encode_frame(message: ToWorker | ToSupervisor) -> bytes:
    """A message as it is sent."""
    body = _ENCODER.encode(message)
    return len(body).to_bytes(_LENGTH, "big") + body


class FrameDecoder:
    """Bytes as they arrive -> bodies of messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """:raises ValueError: the bytes are not a frame of this protocol."""
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
