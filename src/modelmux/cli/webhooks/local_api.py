"""The operations of the admin API on the accounts of this machine, as their owner, without a listener."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

import msgspec

from modelmux.accounts.fields import FieldError
from modelmux.accounts.live_requests import LiveQuestion
from modelmux.accounts.roles import Principal
from modelmux.admin.backend import Answers
from modelmux.admin.dispatch import ApiRequest, Dispatcher
from modelmux.admin.open_backend import open_backend
from modelmux.admin.operation import BASE
from modelmux.admin.webhooks import OPERATIONS
from modelmux.cli.accounts.access import user_name
from modelmux.cli.accounts.api.client import ApiError
from modelmux.cli.accounts.api.open_api import chosen_url, exit_with_api_error, with_api
from modelmux.cli.accounts.directory import exit_with_field_error, warn_if_off
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, warn
from modelmux.config import Config, ConfigError
from modelmux.errors import GatewayError
from modelmux.runtime import Runtime
from modelmux.store.base import StoreFailed
from modelmux.store.directory.open_directory import open_directory
from modelmux.store.ledger.open_ledger import open_ledger
from modelmux.telemetry.log import null_logger

T = TypeVar("T")
_MOST = 1_000


class Api(Protocol):
    """See ``AdminClient``, which is one."""

    async def call(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any: ...

    async def pages(self, path: str, query: Mapping[str, str] | None = None, most: int | None = None) -> list[Any]: ...


class LocalApi:
    """Errors are those of the handlers. It is used within one event loop, and closed there."""

    def __init__(self, config: Config) -> None:
        """:raises ConfigError: the store cannot be used."""
        self._directory = open_directory(config)
        self._ledger = open_ledger(config, os.environ)
        backend = open_backend(
            config, self._directory, self._ledger, os.environ, Runtime(), _no_workers, tuple, _no_answers
        )
        self._dispatcher = Dispatcher(backend, OPERATIONS, null_logger())
        self._principal = Principal(name=user_name(), role="owner")

    async def call(self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None) -> Any:
        """The reply as JSON has it. :raises GatewayError, FieldError, StoreFailed, ConfigError:"""
        sent = b"" if body is None else json.dumps(body).encode()

        async def read() -> bytes:
            return sent

        operation, parts = self._dispatcher.find(method, BASE + path, self._principal)
        request = ApiRequest(
            method=method, path=BASE + path, query=urlencode(query or {}).encode(), body=read, address="cli"
        )
        reply = await self._dispatcher.run(operation, parts, self._principal, request)
        return msgspec.to_builtins(reply.body)

    async def pages(self, path: str, query: Mapping[str, str] | None = None, most: int | None = None) -> list[Any]:
        """The members of a list. See ``call``."""
        members: list[Any] = []
        after: str | None = ""
        while after is not None:
            size = _MOST if most is None else min(_MOST, most - len(members))
            position = {"after": after} if after else {}
            page = await self.call("GET", path, query={**(query or {}), "limit": str(size), **position})
            members += page["data"]
            after = page["next"] if most is None or len(members) < most else None
        return members

    async def aclose(self) -> None:
        """Idempotent."""
        await self._directory.aclose()
        await self._ledger.aclose()


def with_webhooks(config_path: Path | None, overrides: dict[str, Any], action: Callable[[Api], Awaitable[T]]) -> T:
    """Do something with webhooks; exits with what went wrong. With ``--url`` they are those of a gateway."""
    url = chosen_url()
    if url is not None:
        return with_api(url, config_path, overrides, action)
    loaded = read_config(config_path, overrides)
    warn(loaded.warnings)
    warn_if_off(loaded.config)
    try:
        return asyncio.run(_run(loaded.config, action))
    except ConfigError as error:
        exit_with_config_error(error)
    except FieldError as error:
        exit_with_field_error(error)
    except StoreFailed as error:
        exit_with_error([f"the accounts cannot be used: {error}"])
    except GatewayError as error:
        exit_with_error([error.message.removesuffix(".")], error.hint)
    except ApiError as error:
        exit_with_api_error(error)


async def _run(config: Config, action: Callable[[Api], Awaitable[T]]) -> T:
    api = LocalApi(config)
    try:
        return await action(api)
    finally:
        await api.aclose()


async def _no_workers(version: int) -> int:
    del version
    return 0


async def _no_answers(question: LiveQuestion, worker: int | None = None) -> Answers:
    del question, worker
    return Answers({}, ())
