"""``modelmux serve``: run the gateway."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, get_args

import click

from modelmux.app import Gateway
from modelmux.cli.options import DOTENV, config_options, load_dotenv_into_environment, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, warn
from modelmux.cli.running_gateway import running_version
from modelmux.cli.start_lines import ADMIN_IS_CLOSED, admin_line, not_ready, start_lines
from modelmux.config import Config, ConfigError, Loaded, load_all
from modelmux.config.admin_check import admin_address, admin_tokens
from modelmux.config.effective_config import settings_of
from modelmux.config.server_schema import LogLevel
from modelmux.dialects.registry import api_paths
from modelmux.process.listen import ListenError, listen_many, passed_socket
from modelmux.process.memory import MemoryReturner, retain_freed_memory
from modelmux.process.open_files import raise_open_file_limit
from modelmux.process.reload import Reloader, with_host
from modelmux.process.sd_notify import ServiceManager
from modelmux.process.server import DrainSettings, GatewayServer, gateway_config, run
from modelmux.process.status_file import GatewayStatus, StatusFile, status_directories
from modelmux.process.user_signals import handle_user_signals
from modelmux.server.exposure import check_exposure
from modelmux.store.local_state import LocalState
from modelmux.telemetry import names
from modelmux.telemetry.console import redirect_standard_streams
from modelmux.telemetry.log import Log, Logger, make_log
from modelmux.telemetry.log_files import log_directory
from modelmux.upstream.google_auth.presence import find_credential_problem

#: Seconds for which log lines of requests are buffered, to be written together.
_FLUSH_INTERVAL: Final = 0.1


@click.command()
@config_options
@click.option("--host", help="Address to listen on; overrides server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; overrides server.port.")
@click.option("--log-level", type=click.Choice(get_args(LogLevel)), help="Overrides server.log_level.")
@click.option("--workers", type=click.IntRange(1, 64), help="Number of worker processes; overrides server.workers.")
def serve(
    config_path: Path | None,
    overrides: dict[str, Any],
    host: str | None,
    port: int | None,
    log_level: str | None,
    workers: int | None,
) -> None:
    """Run the gateway."""
    retain_freed_memory(os.environ)  # before the first thread: that of the log would get a heap of its own
    settings = {"server.host": host, "server.port": port, "server.log_level": log_level, "server.workers": workers}
    options = overrides | {key: value for key, value in settings.items() if value is not None}
    environment = dict(os.environ)  # without .env, which is read again at each reload
    read = functools.partial(load_all, options=options, environment=environment, file=config_path, dotenv=DOTENV)
    loaded = read_config(config_path, options)
    load_dotenv_into_environment()
    try:
        passed = passed_socket(os.environ, os.getpid())
    except ListenError as error:
        exit_with_error([error.problem], error.hint)
    config = loaded.config
    if passed is not None:  # who can reach it depends on where it really listens
        config = with_host(config, passed.getsockname()[0])
    try:
        check_exposure(config)
        log = _open_log(config)
        state = LocalState.of_service(config, os.environ)
        app = Gateway(config, log=log, state=state, log_warnings=False)  # they follow what is said first
        app.metrics.read_log_drops = log.dropped
        app.body_memory.on_burst_over = MemoryReturner()
    except ConfigError as error:
        warn(loaded.warnings)  # one of them may say why
        exit_with_config_error(error)
    sockets, drain = _listen(config, passed)
    admin, admin_url = _listen_admin(config, shared=bool(drain.handover))
    _apply_accounts(app)  # only now: a gateway that cannot start changes nothing
    _log_start(log, loaded, config, app, admin_url)
    port = sockets[0].getsockname()[1]
    url = _url(config, port)
    status = _status_file(GatewayStatus(pid=os.getpid(), url=url, port=port, admin_url=admin_url), log)
    manager = ServiceManager.from_environment(os.environ, os.getpid())
    try:
        if config.server.workers > 1 or admin is not None:
            _supervise(
                app, config=config, sockets=sockets, read=read, url=url, log=log, manager=manager, status=status,
                state=state, drain=drain, admin=admin, admin_url=admin_url, settings=settings_of(loaded),
            )  # fmt: skip
        reloader = Reloader(app, read, config.server.host, log, status)
        server = GatewayServer(gateway_config(app), manager, reloader, app.readiness, drain, log)
        run(server, sockets[0], lambda: log.info(names.EVENT_LISTENING, url=url, apis=", ".join(api_paths())), log)
    finally:
        if status is not None:
            status.close()


def _apply_accounts(app: Gateway) -> None:
    """Once, for all workers."""
    try:
        app.apply_accounts()
    except ConfigError as error:
        exit_with_config_error(error)


def _listen(config: Config, passed: socket.socket | None) -> tuple[list[socket.socket], DrainSettings]:
    """A listening socket for each worker, and how they drain.

    :param passed: of the service manager, if it has passed one.
    """
    server = config.server
    handover: Literal["", "same_socket", "reuse_port"] = "reuse_port" if server.reuse_port else ""
    if passed is not None:
        handover = "same_socket"
    drain = DrainSettings(server.drain_delay, server.drain_timeout, handover)
    if passed is not None:
        return [passed] * server.workers, drain
    try:
        return listen_many(server.host, server.port, server.workers, reuse_port=server.reuse_port), drain
    except ListenError as error:
        _exit_cannot_listen(error, config)


def _listen_admin(config: Config, *, shared: bool) -> tuple[socket.socket | None, str]:
    """The listening socket of the admin API and its URL; None and an empty one without it.

    :param shared: with a gateway that this one is to replace.
    """
    address = admin_address(config)
    if address is None:
        return None, ""
    from modelmux.admin.operation import BASE  # not needed without accounts

    host, port = address
    try:
        sock = listen_many(host, port, 1, reuse_port=shared)[0]
    except ListenError as error:
        hint = f'Set admin.listen (MODELMUX_ADMIN_LISTEN) to another address than {host}:{port}, or to "off".'
        exit_with_error([f"the admin API: {error.problem}"], hint)
    return sock, f"http://{host}:{sock.getsockname()[1]}{BASE}"


def _exit_cannot_listen(error: ListenError, config: Config) -> NoReturn:
    server = config.server
    version = running_version(server.host.strip("[]"), server.port) if error.in_use else None
    if version is None:
        exit_with_error([error.problem], error.hint)
    stop = f"stop it first (`ss -ltnp sport = :{server.port}` shows its process)"
    exit_with_error(
        [f"{error.problem} by a modelmux that is running ({version})"],
        [
            "Use that one; `modelmux reload` has it read its configuration again.",
            f"To replace it, {stop}; or choose another port with --port.",
        ],
    )


def _open_log(config: Config) -> Logger:
    """The log of this process, and of the workers that it forks. From here on, nothing waits for stderr."""
    log = make_log(
        config.server.log_level,
        config.server.log_format,
        directory=_log_directory(config),
        retention_days=config.logs.retention_days,
        flush_interval=_FLUSH_INTERVAL,
        in_background=True,
    )
    redirect_standard_streams(log.console)
    handle_user_signals(log.reopen_files)
    return log


def _log_start(log: Log, loaded: Loaded, config: Config, app: Gateway, admin_url: str) -> None:
    """Log what is served, and what an operator should change in the configuration or on this machine."""
    if (failure := find_credential_problem(config.auth, os.environ)) is not None:
        log.warning(names.EVENT_NOT_READY, message=f"serving, but not ready: {not_ready(failure)}")
        app.reported_credentials = failure.cause
    has_keys = app.directory is not None and bool(app.directory.current.keys)
    for line in start_lines(loaded, config, list(app.routes.visible_names), _log_directory(config), has_keys=has_keys):
        log.info(names.EVENT_START, message=line)
    for notice in filter(None, (app.responses.notice, app.metering.notice, *app.traces.notices)):
        log.info(names.EVENT_START, message=notice)
    if admin_url:
        _log_admin(log, config, admin_url)
    app.log_warnings()
    for warning in loaded.warnings:
        log.warning(names.EVENT_CONFIG, message=warning)
    if (problem := raise_open_file_limit(loaded.config.limits.max_concurrent_requests)) is not None:
        log.warning(names.EVENT_CONFIG, message=problem)


def _log_admin(log: Log, config: Config, url: str) -> None:
    log.info(names.EVENT_START, message=admin_line(config, url))
    if not admin_tokens(config.admin):
        log.warning(names.EVENT_CONFIG, message=ADMIN_IS_CLOSED)


def _supervise(app: Gateway, **options: Any) -> NoReturn:
    from modelmux.process.workers.options import SupervisorOptions  # not needed by a single process
    from modelmux.process.workers.supervisor import Supervisor

    supervisor = Supervisor(
        SupervisorOptions(
            host=options["config"].server.host,
            jitter=app.jitter,
            reported_credentials=app.reported_credentials,
            **options,
        )
    )
    raise SystemExit(supervisor.run())


def _log_directory(config: Config) -> Path | None:
    if not config.logs.file:
        return None
    try:
        return log_directory(config.logs.directory, os.environ)
    except RuntimeError:  # no home directory, as in containers: the console has every line
        return None


def _status_file(status: GatewayStatus, log: Log) -> StatusFile | None:
    """A status file in the first writable directory; the gateway also runs without one."""
    for directory in status_directories(os.environ):
        with contextlib.suppress(OSError):
            return StatusFile(directory, status)
    log.warning(names.EVENT_CONFIG, message="cannot write a status file; `modelmux reload` will not find this process")
    return None


def _url(config: Config, port: int) -> str:
    host = config.server.host
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
