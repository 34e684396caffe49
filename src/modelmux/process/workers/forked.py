"""The rest of a forked process: which child it becomes; and its end, so that none of its parent's frames goes on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from modelmux.config import ConfigError
from modelmux.process.workers.admin_child import own_origin, run_admin
from modelmux.process.workers.child import ChildOptions
from modelmux.process.workers.options import SupervisorOptions
from modelmux.process.workers.worker import WorkerOptions, run_worker
from modelmux.process.workers.worker_slot import ADMIN
from modelmux.telemetry import names
from modelmux.telemetry.log import Logger, error_location


def run_forked(run: Callable[[], int], name: int | str, log: Logger) -> NoReturn:
    """Run the rest of a forked process, and exit with the code that it returns.

    :param name: of the process, for log lines.
    """
    code = 1
    try:
        code = run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except ConfigError as error:  # the state on this machine was good when the gateway started
        for sentence in error.sentences:
            log.error(names.EVENT_WORKER, worker=name, message=f"cannot start: {sentence}")
    except BaseException as error:  # noqa: BLE001 - nothing may propagate into the supervisor's frames
        log.error(names.EVENT_INTERNAL_ERROR, worker=name, traceback=error_location(error))
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()  # ``_exit`` runs no exit handlers
            sys.stderr.flush()
            log.flush()
        os._exit(code)


def serve_as_child(common: ChildOptions, incarnation: int, options: SupervisorOptions) -> int:
    """Become a worker, or the process of the admin API, and close the listening sockets of the other: connections that
    come after its end would wait in them for ever.

    :param incarnation: of a worker.
    :returns: the exit code.
    """
    if common.number == ADMIN:
        assert options.admin is not None
        models_at = options.sockets[0].getsockname()
        for sock in set(options.sockets):
            sock.close()
        return run_admin(common, options.admin, own_origin(*models_at[:2]))
    if options.admin is not None:
        options.admin.close()
    return run_worker(
        WorkerOptions(
            common=common,
            incarnation=incarnation,
            sockets=options.sockets,
            state=options.state,
            reported_credentials=options.reported_credentials if incarnation == 1 else None,
        )
    )
