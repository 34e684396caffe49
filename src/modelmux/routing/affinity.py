"""Affinity: sends a conversation to the deployment whose prompt cache holds its prefix.

A key names the conversation; weighted rendezvous hashing maps each key to a deployment. It needs no state, all
processes agree, and adding or removing a deployment moves only that deployment's share of the conversations.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from modelmux.routing.model import Deployment
from modelmux.wire.openai.chat_request import ChatMessage, ChatRequest, TextPart, UserMessage

#: Headers by which a client names its session; the first that is set is used.
_HEADERS: Final = (b"x-session-affinity", b"x-session-id")
_BITS: Final = 48  # few enough that no quotient is rounded to 1


def affinity_key(request: ChatRequest, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A digest that is the same for every request of a conversation.

    Made from the client's own identifier, else from what a prompt cache would hold: the tools, and the messages up to
    the first user message.
    """
    if request.prompt_cache_key:
        return _digest(request.prompt_cache_key.encode("utf-8", "surrogatepass"))
    for header in _HEADERS:
        for name, value in headers:
            if name == header and value:
                return _digest(value)
    return _digest(msgspec.json.encode((request.tools, list(_stable_prefix(request.messages)))))


def _stable_prefix(messages: Iterable[ChatMessage]) -> Iterator[object]:
    """The content that is the same in every turn, without cache markers, which move."""
    for message in messages:
        parts = message.content if isinstance(message.content, list) else [message.content]
        yield [part.text if isinstance(part, TextPart) else part for part in parts]
        if isinstance(message, UserMessage):
            break


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def preferred_deployment(key: bytes, deployments: Sequence[Deployment]) -> Deployment:
    """The deployment of a conversation. Deployments of weight 0 are preferred only if all have weight 0."""
    return max(deployments, key=lambda deployment: _score(key, deployment))


def _score(key: bytes, deployment: Deployment) -> float:
    """Weighted rendezvous hashing: the highest of ``-weight / ln(u)``, where u is uniform between 0 and 1."""
    number = int.from_bytes(blake2b(deployment.url.encode(), key=key, digest_size=_BITS // 8).digest(), "big")
    uniform = (number + 0.5) / 2.0**_BITS
    return -deployment.weight / math.log(uniform) if deployment.weight else uniform - 1.0
