"""Requests that take long to translate, apart from the event loop: one of them must not delay all others.

What they need is done in a thread, whose Python code the interpreter interrupts every few milliseconds. A call in C is
not interrupted: JSON of many values is decoded in slices (``wire/sliced_json.py``), and what one request may hold is
limited.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from msgspec.structs import replace

from modelmux.dialects.base import Decoded, Inbound
from modelmux.errors import GatewayError, InvalidRequest
from modelmux.gateway.named_model import named_model
from modelmux.wire.sliced_json import (
    MAX_MEMBERS,
    MAX_OBJECTS,
    MAX_VALUES,
    count_objects,
    count_values,
    has_larger_object,
)

#: Bytes of a request that is looked at. The usual request pays one comparison.
LARGE: Final = 128 * 1024
#: Objects and arrays, and values, that are decoded and translated within some 10 ms; within 80 if each of them is a
#: number below 1e-294, which takes the decoder seven microseconds.
FEW_OBJECTS: Final = 1_000
FEW_VALUES: Final = 10_000
#: Bytes of text or media that are decoded, copied and encoded within some 10 ms.
LONG: Final = 2 * 1024 * 1024
#: The same for stored items.
FEW_ITEMS: Final = 200

#: New objects until a collection, meanwhile: it takes some 10 ms. The usual number would look at those of the request,
#: which make no cycles, again and again: a fifth of the time.
COLLECTED_AT: Final = 100_000

T = TypeVar("T")


class LargeRequests:
    """The thread of one process, started with the first large request. More threads would be no faster."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "modelmux-large-request")

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """The result of a pure function. A client that leaves meanwhile is noticed at once."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, with_few_collections, function, *arguments)


class _FewCollections:
    """The threshold of the collector while functions that make many objects run, in any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._usual = (0, 0, 0)

    def __enter__(self) -> None:
        with self._lock:
            if self._running == 0:
                self._usual = gc.get_threshold()
                first, *others = self._usual
                gc.set_threshold(first and max(first, COLLECTED_AT), *others)  # one that is switched off stays so
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                gc.set_threshold(*self._usual)


_few_collections: Final = _FewCollections()


def with_few_collections(function: Callable[..., T], *arguments: object) -> T:
    """The result of a function that makes many objects."""
    with _few_collections:
        return function(*arguments)


def is_costly(body: bytes) -> bool:
    """Whether a request takes more than some 10 ms.

    :raises InvalidRequest: it holds more than any model reads. One of more than ``LONG`` bytes is not counted here.
    """
    if len(body) < LARGE:
        return False
    if len(body) > LONG:
        return True
    objects, values = checked_numbers(body)
    return objects > FEW_OBJECTS or values > FEW_VALUES


def decode_large(decode: Callable[[Inbound, bytes], Decoded], inbound: Inbound, body: bytes) -> Decoded:
    """What ``decode`` makes of a body for which ``is_costly``. Runs in the thread.

    :raises InvalidRequest: of ``decode``, or it holds more than any model reads.
    """
    try:
        if len(body) > LONG:
            checked_numbers(body)
        if has_larger_object(body):
            raise InvalidRequest(
                f"An object of the request has more than {MAX_MEMBERS:,} members.",
                hint="Send fewer: no model has a context for so many.",
            )
        return replace(decode(inbound, body), is_costly=True)
    except GatewayError as error:
        error.model = named_model(inbound.path_params, body)
        raise


def checked_numbers(body: bytes) -> tuple[int, int]:
    """The numbers of objects and of values.

    :raises InvalidRequest: more than any model reads.
    """
    objects, values = count_objects(body), count_values(body)
    if objects > MAX_OBJECTS or values > MAX_VALUES:
        raise InvalidRequest(
            f"The request has more than {MAX_OBJECTS:,} objects and arrays, or {MAX_VALUES:,} values.",
            hint="Send fewer: no model has a context for so many.",
        )
    return objects, values
