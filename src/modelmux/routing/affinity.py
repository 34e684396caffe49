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
from modelmux.wire.anthropic import MessagesRequest

#: Headers by which a client names its session; the first that is set is used.
_HEADERS: Final = (b"x-claude-code-session-id", b"x-session-affinity", b"x-session-id")
_BITS: Final = 48  # few enough that no quotient is rounded to 1


def affinity_key(prefix: Iterable[object], name: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A digest that is the same for every request of a conversation.

    Made from the client's own identifier, else from what a prompt cache would hold: the tools, the system prompt and
    the messages up to the first one of the user.

    :param prefix: what is the same in every turn; read only if nothing names the conversation.
    :param name: what the client's body calls the conversation.
    """
    session = session_of(name, headers)
    return _digest(msgspec.json.encode(list(prefix)) if session is None else session)


def session_of(name: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
    """What the client calls the conversation, in its body or else in a header; None if it does not name it."""
    if name:
        return name.encode("utf-8", "surrogatepass")
    for header in _HEADERS:
        for key, value in headers:
            if key == header and value:
                return value
    return None


def stable_prefix(body: MessagesRequest) -> Iterator[object]:
    """The content that is the same in every turn, without cache markers, which move."""
    for block in (*(body.tools or ()), *(body.system or ())):
        yield _without_marker(block)
    for message in body.messages:
        yield from map(_without_marker, message.content)
        if message.role == "user":
            break


def _without_marker(block: object) -> object:
    if getattr(block, "cache_control", None) is None:
        return block
    assert isinstance(block, msgspec.Struct)
    return msgspec.structs.replace(block, cache_control=None)


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
