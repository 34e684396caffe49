"""Asynchronous work of a store at a start, or at a reload, where an event loop may run already."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def in_own_loop(function: Callable[[], Coroutine[Any, Any, T]], name: str) -> T:
    """Its result, from an event loop in a new thread. This thread waits for it.

    :param name: of the thread.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(asyncio.run(function()))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    thread.join()
    return result.result()
