"""Configuration files: which are read, who can read and change them, and what is wrong or deprecated in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.options import DOTENV
from modelmux.config import ConfigError, load_all
from modelmux.config.home import expand_user
from modelmux.config.load import SYSTEM_FILE, user_file
from modelmux.config.settings import settings
from modelmux.config.sources import ConfigSource
from modelmux.upstream.google_auth.loaders import key_file_problems
from modelmux.upstream.trust import configured_trust

_NONE: Final = "`modelmux config init` writes one; environment variables are enough, too"


def check_files(context: DoctorContext) -> Iterator[Result]:
    """Reads the configuration as ``serve`` would."""
    try:
        context.loaded = load_all(
            options=context.options, environment=context.environment, file=context.config_path, dotenv=context.dotenv
        )
    except ConfigError as error:
        for problem in error.problems:
            hint = error.hint or "correct it; docs/configuration.md lists all settings"
            if context.of_service:
                hint = f"correct {context.config_path}; `modelmux config init --system` writes one"
            yield Result("settings", "fail", problem, hint)
        return
    files = [layer for layer in context.loaded.sources if layer.text is not None]
    if not files:
        paths = f"{user_file(context.environment)} nor {SYSTEM_FILE}"
        yield Result("configuration file", "ok", f"neither {paths} exists; {_NONE}")
    for layer in files:
        yield _file(layer, Path(layer.name), context.group)
    for layer in context.loaded.sources:
        if layer.name == str(DOTENV):
            yield _file(layer, DOTENV)
    for warning in context.loaded.warnings:
        yield Result(
            "settings", "warn", warning, "change it: a deprecated name works for now, a misspelt one sets nothing"
        )
    key_file = context.loaded.config.auth.service_account_file
    if key_file is not None and not context.of_service:  # there it is checked with the service
        result = _key_file(expand_user(key_file))
        context.reported_credentials = result.status == "fail"
        yield result
    try:
        configured_trust(context.loaded.config.tls.ca_file, {})
    except ConfigError as error:
        context.broken = "tls.ca_file"
        yield Result("tls.ca_file", "fail", error.problems[0].removeprefix("tls.ca_file: "), error.hint)


def _file(source: ConfigSource, path: Path, group: int | None = None) -> Result:
    """:param group: that may read it although it has secrets."""
    info = path.stat()
    mode, name = stat.S_IMODE(info.st_mode), str(path)
    if mode & 0o022:
        return Result(name, "warn", f"read; mode {mode:04o} lets others change it", f"run chmod go-w {path}")
    if _holds_secrets(source) and mode & (0o007 if info.st_gid == group else 0o077):
        return Result(name, "warn", f"read; it contains secrets, and mode {mode:04o} lets others read them",
                      f"run chmod 600 {path}")  # fmt: skip
    if hasattr(os, "getuid") and info.st_uid not in (os.getuid(), 0):
        return Result(
            name, "warn", f"read; it is owned by user {info.st_uid}, who can change it", f"run chown on {path}"
        )
    return Result(name, "ok", f"read; mode {mode:04o}")


def _holds_secrets(source: ConfigSource) -> bool:
    for setting in settings():
        value: object = source.tree
        for key in setting.path:
            value = value.get(key) if isinstance(value, dict) else None
        if setting.secret and value:
            return True
    return False


def _key_file(path: Path) -> Result:
    problems = key_file_problems(path)
    if not problems:
        return Result("credentials file", "ok", f"{path} exists and only its owner can read it")
    problem, _, remedy = problems[0].partition("; ")
    if remedy:
        return Result("credentials file", "warn", problem, f"{remedy} {path}")
    return Result("credentials file", "fail", problem, "check auth.service_account_file, and that the file is mounted")
