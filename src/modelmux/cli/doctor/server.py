"""The gateway itself: who can reach it, whether its port is free, where its files go."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Mapping

from msgspec.structs import replace

from modelmux.app import create_app
from modelmux.cli.doctor.accounts import LEDGER, check_keys, check_sqlite
from modelmux.cli.doctor.proxy_sign_in import check_sign_in
from modelmux.cli.doctor.redis import check_redis
from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.doctor.state import check_state, unwritable
from modelmux.cli.running_gateway import running_version
from modelmux.config import Config, ConfigError
from modelmux.config.accounts_check import check_accounts
from modelmux.config.admin_check import admin_address, admin_tokens
from modelmux.config.capture_schema import CaptureConfig
from modelmux.config.captures import captures
from modelmux.config.price_overrides import AccountsConfig
from modelmux.config.proxy_sign_in import signs_in_by_proxy
from modelmux.config.values import Seconds
from modelmux.runtime import Runtime
from modelmux.server.auth import is_loopback
from modelmux.server.exposure import check_exposure
from modelmux.store.ledger.open_ledger import switched_off
from modelmux.store.local_state import LocalState
from modelmux.telemetry.log_files import log_directory


def check_server(context: DoctorContext) -> Iterator[Result]:
    """Exposure, whether `serve` would start, port and log files."""
    config = context.config
    if config is None:
        return
    try:
        check_exposure(config)
    except ConfigError as error:
        yield Result("exposure", "fail", error.problems[0], error.hint)
    off = switched_off(config, context.process)
    if off is not None:
        yield Result("virtual keys", "warn", off, "set accounts.enabled = true")
    yield from _check_host_names(config)
    if context.broken is not None:
        yield context.skipped("start")
    elif context.routes is not None:  # else the problem is reported with the models
        yield from _start_problems(config)
    yield check_port(config.server.host, config.server.port)
    yield from _check_admin(config)
    yield check_log_directory(config, context.process)
    of_state = list(check_state(context))
    yield from of_state
    if config.accounts.enabled:
        of_ledger = list(check_sqlite(config, context.process))
        yield from of_ledger
        if not any(result.check == LEDGER and result.status == "fail" for result in of_state + of_ledger):
            yield from check_keys(config, context.process, Runtime().now)
    yield from check_redis(config)


def _start_problems(config: Config) -> Iterator[Result]:
    """What `serve` would refuse. Of accounts only the settings: there are checks of what they open."""
    try:
        check_accounts(config.accounts)
        captures(config)
        create_app(_without_accounts(config), state=LocalState(None))
    except ConfigError as error:
        for problem in error.problems:
            yield Result("start", "fail", problem, error.hint or "correct the setting; `serve` cannot start with it")


def _without_accounts(config: Config) -> Config:
    """The same without accounts and without what needs them, so that no file and no server is opened."""
    if not config.accounts.enabled:
        return config
    return replace(
        config,
        accounts=AccountsConfig(prices=config.accounts.prices, unknown_price=config.accounts.unknown_price),
        limits=replace(config.limits, redis=None, wait=Seconds(0)),
        capture=CaptureConfig(),
    )


def _check_host_names(config: Config) -> Iterator[Result]:
    """Which names clients may use, where that is limited; a list of names that changes nothing."""
    check, names = "host names", ", ".join(config.server.allowed_hosts)
    if not config.server.api_keys and is_loopback(config.server.host):
        yield Result(check, "ok", f"without server.api_keys: those of this machine{names and ' and ' + names}")
    elif names:
        hint = "remove the setting: it is about a gateway without server.api_keys on loopback"
        yield Result(check, "warn", "server.allowed_hosts has no effect: any name is served", hint)


def _check_admin(config: Config) -> Iterator[Result]:
    """Whether the admin API can be used, who can reach it, and whether its port is free."""
    check = "admin API"
    try:
        address = admin_address(config)
    except ConfigError:
        return  # the check of the exposure says so
    if not config.accounts.enabled and config.admin.listen is None:
        if admin_tokens(config.admin):
            hint = 'set admin.listen = "127.0.0.1:3001", or accounts.enabled = true'
            yield Result(check, "warn", "its tokens have no effect: there is no admin API", hint)
        return
    if address is None:
        yield Result(check, "ok", "switched off by admin.listen")
        return
    if not (admin_tokens(config.admin) or signs_in_by_proxy(config.admin)):
        hint = "set admin.token (MODELMUX_ADMIN_TOKEN) to the output of: openssl rand -hex 24"
        yield Result(check, "warn", "it has no token, so it refuses every request", hint)
    elif not is_loopback(address[0]):
        hint = "let a proxy with TLS in front of it be the only one that reaches it, or listen on 127.0.0.1:3001"
        yield Result(check, "warn", f"{config.admin.listen}: other machines can reach it, and it has no TLS", hint)
    else:
        secured = "with a token" if admin_tokens(config.admin) else "with sign-in by a proxy"
        yield Result(check, "ok", f"{secured}, and for this machine only")
    yield from check_sign_in(config)
    yield check_port(*address, setting="admin.listen")


def check_port(host: str, port: int, setting: str = "server.port") -> Result:
    """Whether the address is free, or a modelmux is running there."""
    check = f"port {port} on {host}"
    if port == 0:
        return Result(check, "ok", "a free port is chosen at each start")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
            probe.listen(1)
        except OSError as error:
            return _bind_failure(error, check, host, port, setting)
    return Result(check, "ok", "free")


def _bind_failure(error: OSError, check: str, host: str, port: int, setting: str) -> Result:
    if error.errno == errno.EADDRINUSE:
        version = running_version(host, port)
        if version is not None:
            return Result(check, "ok", f"modelmux {version} is running there")
        hint = f"stop what uses it (`ss -ltnp sport = :{port}` shows it) or set another {setting}"
        return Result(check, "fail", "in use by another program", hint)
    if error.errno == errno.EACCES:
        return Result(check, "fail", "no permission to listen there", f"set {setting} above 1023")
    where = "server.host" if setting == "server.port" else setting
    return Result(check, "fail", f"cannot listen: {error.strerror or error}", f"check {where}")


def check_log_directory(config: Config, environment: Mapping[str, str]) -> Result:
    """Whether log files can be written. Leaves no file: checks the directory, or the nearest parent that exists."""
    check, remedy = "log files", "set logs.directory to a writable directory, or logs.file = false"
    if not config.logs.file:
        return Result(check, "ok", "turned off by logs.file")
    try:
        directory = log_directory(config.logs.directory, environment)
    except RuntimeError:
        return Result(check, "warn", "there is no home directory to keep them in", remedy)
    problem = unwritable(directory)
    if problem is not None:
        return Result(check, "warn", problem, remedy)
    return Result(check, "ok", f"{directory}, {config.logs.retention_days} days kept")
