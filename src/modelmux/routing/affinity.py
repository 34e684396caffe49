"""Which of several deployments a conversation belongs to: the one whose prompt cache holds its beginning.

A key names the conversation; rendezvous hashing gives each key an order of the deployments by weight. Nothing is
remembered, every process of a fleet agrees, and a deployment that comes or goes moves only its own share.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from modelmux.routing.routes import Deployment
from modelmux.wire.openai.chat_request import ChatMessage, ChatRequest, TextPart, UserMessage

#: Headers by which a client names its session, the first found wins.
_HEADERS: Final = (b"x-session-affinity", b"x-session-id")
_BITS: Final = 48  # few enough that no number is rounded to 1


def key_of(request: ChatRequest, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A digest that is the same for every request of a conversation: of the client's word for it, else of what a
    prompt cache would hold of it (tools, and messages up to the first of the user)."""
    if request.prompt_cache_key:
        return _digest(request.prompt_cache_key.encode("utf-8", "surrogatepass"))
    for wanted in _HEADERS:
        for name, value in headers:
            if name == wanted and value:
                return _digest(value)
    return _digest(msgspec.json.encode((request.tools, list(_opening(request.messages)))))


def _opening(messages: Iterable[ChatMessage]) -> Iterator[object]:
    """What does not change from turn to turn; cache markers do."""
    for message in messages:
        parts = message.content if isinstance(message.content, list) else [message.content]
        yield [part.text if isinstance(part, TextPart) else part for part in parts]
        if isinstance(message, UserMessage):
            break


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def first_for(key: bytes, deployments: Sequence[Deployment]) -> Deployment:
    """The deployment a conversation belongs to. Those without weight get it only among themselves."""
    return max(deployments, key=lambda deployment: _score(key, deployment))


def _score(key: bytes, deployment: Deployment) -> float:
    """Weighted rendezvous hashing: the highest of ``-weight / ln(u)``, where u is uniform between 0 and 1."""
    number = int.from_bytes(blake2b(deployment.url.encode(), key=key, digest_size=_BITS // 8).digest(), "big")
    uniform = (number + 0.5) / 2.0**_BITS
    return -deployment.weight / math.log(uniform) if deployment.weight else uniform - 1.0
