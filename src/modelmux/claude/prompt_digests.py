"""A prompt as digests of a few bytes, which tell later on what of it the next turn has changed, without any text.

Items are digested in the order in which the prompt cache reads them: tools, system, messages. Each digest covers its
item and all before it in its part, as an entry of the cache does, so that of a long part some can be left out. Marks
(``cache_control``) do not count: clients move them each turn. A large body costs little, because what is inside of a
block is never decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec import Raw, Struct

#: Bytes of a digest.
DIGEST: Final = 8
#: Digests that are kept of each part at most: 2,300 bytes in all.
MOST_TOOLS: Final = 64
MOST_SYSTEM: Final = 16
MOST_MESSAGES: Final = 208
#: What a change of invalidates the cache of messages, and of some also that of the system prompt.
SETTINGS: Final = ("tool_choice", "thinking", "output_config", "output_format", "speed")
#: Role -> its letter; that of any other one is the last.
_ROLES: Final = {"user": "u", "assistant": "a", "system": "s"}
_OTHER: Final = "?"
_MARK: Final = "cache_control"
#: Stand for a field that is not there.
_ABSENT: Final = (b"", b"null")
_RESULT: Final = b'"tool_result"'


class Chain(Struct, frozen=True, array_like=True):
    """
    :param count: items of the part.
    :param digests: those at ``kept_indexes(count, most)``, one after the other.
    """

    count: int = 0
    digests: bytes = b""


class PromptDigests(Struct, frozen=True, array_like=True):
    """
    :param key_check: tells whether two were made with the same key.
    :param roles: a letter for each kept message.
    :param settings: digests of the fields in ``SETTINGS``, in their order.
    """

    key_check: bytes
    tools: Chain
    system: Chain
    messages: Chain
    roles: str
    settings: bytes


class _Message(Struct):
    role: str
    content: Raw


class _Body(Struct):
    messages: list[_Message]
    tools: list[dict[str, Raw]] | None = None
    system: Raw = Raw()
    tool_choice: Raw = Raw()
    thinking: Raw = Raw()
    output_config: Raw = Raw()
    output_format: Raw = Raw()
    speed: Raw = Raw()


_decode: Final = msgspec.json.Decoder(_Body).decode
_blocks: Final = msgspec.json.Decoder(list[dict[str, Raw]]).decode


def digests_of(body: bytes, key: bytes) -> PromptDigests | None:
    """The digests of a Messages request, in the form in which it is sent; None if it has not the form of one.

    :param key: up to 64 bytes. Without it no one can tell whether a digest is that of a certain text.
    """
    try:
        read = _decode(body)
        tools = [_members(tool) for tool in read.tools or ()]
        system = list(_content(read.system)) if _value(read.system) else []
        messages = [b"%b\0%b" % (one.role.encode(), b"\0".join(_content(one.content))) for one in read.messages]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    kept, absent = kept_indexes(len(messages), MOST_MESSAGES), _digest(b"", key)
    settings = [_value(getattr(read, name)) for name in SETTINGS]
    return PromptDigests(
        key_check=absent,
        tools=_chain(tools, MOST_TOOLS, key),
        system=_chain(system, MOST_SYSTEM, key),
        messages=_chain(messages, MOST_MESSAGES, key),
        roles="".join(_ROLES.get(read.messages[index].role, _OTHER) for index in kept),
        settings=b"".join(_digest(value, key) if value else absent for value in settings),
    )


def kept_indexes(count: int, most: int) -> list[int]:
    """Which items of a part have digests: all, or the last ones, and of those before them every second, fourth, … one.

    A part that has grown has digests for most of the items that it had digests for before.

    :param most: even, and at least 2.
    """
    if count <= most:
        return list(range(count))
    half = most // 2
    begin, step = count - half, 1
    while -(-begin // step) > half:
        step *= 2
    return [*range(0, begin, step), *range(begin, count)]


def conversation_digest(owner: str, session: bytes | None, prompt: PromptDigests, key: bytes) -> bytes | None:
    """What the turns of a conversation have in common: owner and session, else the first message; None without both.

    :param session: as the client calls it.
    """
    name = session or prompt.messages.digests[:DIGEST]
    return _digest(b"%b\0%b" % (owner.encode("utf-8", "surrogatepass"), name), key) if name else None


def _chain(items: Iterable[bytes], most: int, key: bytes) -> Chain:
    digests, last = list[bytes](), b""
    for item in items:
        last = _digest(last + item, key)
        digests.append(last)
    return Chain(len(digests), b"".join(digests[index] for index in kept_indexes(len(digests), most)))


def _value(raw: Raw) -> bytes:
    data = bytes(raw)
    return b"" if data in _ABSENT else data


def _digest(data: bytes, key: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST, key=key).digest()


def _content(raw: Raw) -> Iterator[bytes]:
    """Blocks, each in one form. A string is the same as a block of text.

    :raises msgspec.DecodeError: it is neither.
    """
    data = bytes(raw)
    if data[:1] == b'"':
        yield b'"text":%b,"type":"text"' % data
        return
    for block in _blocks(data):
        inner = block.get("content")
        if inner is not None and bytes(block.get("type", b"")) == _RESULT:
            block["content"] = Raw(b"\0".join(_content(inner)))
        yield _members(block)


def _members(block: dict[str, Raw]) -> bytes:
    """Sorted, without marks. What is inside of them stays as it was written."""
    return b",".join(b'"%b":%b' % (name.encode(), block[name]) for name in sorted(block) if name != _MARK)
