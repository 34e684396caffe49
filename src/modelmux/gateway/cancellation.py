"""Ending a cancellation that has served its purpose."""

from __future__ import annotations

import asyncio


def uncancel() -> None:
    """Continue the current task as if it had not been cancelled."""
    task = asyncio.current_task()
    while task is not None and task.cancelling():
        task.uncancel()
