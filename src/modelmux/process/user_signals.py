"""SIGUSR1 and SIGUSR2, which end a process that does not handle them. Log rotation often sends the first one.

Only commands call this; a gateway that is part of another program handles no signals.
"""

from __future__ import annotations

import signal
from collections.abc import Callable


def handle_user_signals(reopen_logs: Callable[[], None]) -> None:
    """SIGUSR1 opens the log files anew; SIGUSR2 does nothing. Call in the main thread.

    :param reopen_logs: called between any two instructions of the main thread; must not wait.
    """
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda _number, _frame: reopen_logs())
        # Not SIG_IGN, which programs that this one starts would inherit.
        signal.signal(signal.SIGUSR2, lambda _number, _frame: None)
