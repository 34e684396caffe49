"""Pages and actions as values, and what they are built from: a visit, whose reads and writes are calls of the
admin API.

A page shows nothing that its visitor could not read over the API, and changes nothing that the API would refuse: there
is no second logic of roles here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import msgspec

from modelmux.accounts.directory import Directory
from modelmux.accounts.fields import FieldError
from modelmux.accounts.roles import Permission, Scope, may
from modelmux.admin.callers import Caller
from modelmux.admin.dispatch import ApiRequest, Dispatcher
from modelmux.admin.errors import QueryTimeout, of_field
from modelmux.admin.operation import BASE, MAX_BODY
from modelmux.dashboard.playground.gateway import PlaygroundGateway
from modelmux.errors import GatewayError

ROOT: Final = "/dashboard"
Data = dict[str, Any]


@dataclass(frozen=True)
class Site:
    """What pages say of the gateway itself.

    :param gateway_url: where clients reach the models, without a slash at the end.
    :param model: one that is served, for examples.
    :param playground: the gateway as the playground asks it.
    :param trace_url: where a trace is shown, with the place of its id; None if that is not known.
    """

    gateway_url: str
    model: str
    playground: PlaygroundGateway
    trace_url: str | None = None


@dataclass(frozen=True)
class Visit:
    """A request of a person who is signed in, or of a program with a token.

    :param directory: that of now, or that of the page, which is read once for all of its parts.
    :param path: the parts of the path that the template of the page names.
    :param query, form: each name once.
    :param has_turn: that of the principal is held; see ``in_one_turn``.
    """

    dispatcher: Dispatcher
    directory: Callable[[], Awaitable[Directory]]
    caller: Caller
    address: str
    site: Site
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str] = field(default_factory=dict)
    has_turn: bool = False

    def may(self, permission: Permission) -> bool:
        return may(self.caller.principal, permission)

    async def read(self, path: str, **params: str) -> Data:
        """The body of ``GET /admin/v1…`` as plain values. :raises GatewayError, FieldError, StoreFailed:"""
        return await self._call("GET", path, urlencode(params).encode(), b"")

    async def write(self, path: str, body: Data, once: str | None = None) -> Data:
        """The body of the reply of ``POST``, as plain values, with ``pending_workers`` if some do not have the change
        yet.

        :param once: the ``Idempotency-Key``: what is sent again with it changes nothing twice.
        :raises GatewayError, FieldError, StoreFailed:
        """
        return await self._call("POST", path, b"", msgspec.json.encode(body), once)

    async def _call(self, method: str, path: str, query: bytes, body: bytes, once: str | None = None) -> Data:
        async def read_body() -> bytes:
            return body

        request = ApiRequest(
            method=method, path=BASE + path, query=query, body=read_body, address=self.address, idempotency_key=once
        )  # fmt: skip
        operation, parts = self.dispatcher.find(method, request.path, self.caller.principal)
        parts = {name: unquote(text) for name, text in parts.items()}  # see ``part``: a server decodes paths first
        reply = await self.dispatcher.run(
            operation, parts, self.caller.principal, request, read=self.directory, has_turn=self.has_turn
        )
        values: Data = msgspec.to_builtins(reply.body, enc_hook=msgspec.json.decode)  # of what is JSON already
        return values | {"pending_workers": reply.pending} if reply.pending else values

    @contextlib.asynccontextmanager
    async def in_one_turn(self) -> AsyncIterator[Visit]:
        """A visit whose reads do not wait for each other's turn: the visitor has one for all of them. So the threads of
        the stores have one question after the other, and need not wait for the event loop between them. Nothing else
        may be read within the block."""
        async with self.dispatcher.turn(self.caller.principal):
            yield replace(self, has_turn=True)

    async def read_filtered(self, path: str, names: Iterable[str], limit: str, **others: str) -> Data:
        """A page of a list by the filters of the query and other parameters, and ``filters``, ``after`` and
        ``filter_problem``: why there is nothing, if a filter cannot be used or lets too much through, for the form that
        shows it again."""
        chosen = self.chosen(names)
        after = self.query.get("after", "")
        data: Data = {"filters": chosen, "after": after, "filter_problem": None}
        try:
            return data | await self.read(path, limit=limit, **chosen, **others, **({"after": after} if after else {}))
        except (GatewayError, FieldError) as error:
            problem = filter_problem(error)
            if problem is None:
                raise
            return data | {"filter_problem": problem, "data": [], "has_more": False, "next": None}

    def chosen(self, names: Iterable[str]) -> dict[str, str]:
        """Filters of the query that have a value."""
        return {name: self.query[name].strip() for name in names if self.query.get(name, "").strip()}

    @property
    def has_accounts(self) -> bool:
        return self.dispatcher.backend.has_accounts

    @property
    def now(self) -> int:
        """Microseconds in UTC."""
        return self.dispatcher.backend.now()

    async def names(self) -> Names:
        directory = await self.directory()
        return Names(directory, Scope(directory, self.caller.principal))


class ReadOnce:
    """The directory of a page, so that its parts are of one moment. :param read: returns that of now."""

    def __init__(self, read: Callable[[], Awaitable[Directory]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._directory: Directory | None = None

    async def __call__(self) -> Directory:
        async with self._lock:
            if self._directory is None:
                self._directory = await self._read()
            return self._directory


async def together(*parts: Awaitable[Any]) -> list[Any]:
    """What all of them return. At the first error the others are ended, and none runs when it is raised."""
    tasks = [asyncio.ensure_future(one) for one in parts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.wait(tasks)


class Names:
    """What records that a visitor sees are called; the id of others. And which of them it may change."""

    def __init__(self, directory: Directory, scope: Scope) -> None:
        self._directory = directory
        self._scope = scope

    def key(self, id: str) -> str:
        record = self._directory.keys.get(id)
        return record.name if record is not None and self._scope.sees(record) else id

    def team(self, id: str) -> str:
        record = self._directory.teams.get(id)
        return record.name if record is not None and self._scope.sees(record) else id

    def person(self, id: str) -> str:
        record = self._directory.people.get(id)
        return record.email if record is not None and self._scope.sees(record) else id

    def may_change_budget(self, id: str) -> bool:
        """As far as it is one of its own: whether its role may change any, it does not say."""
        record = self._directory.budgets.get(id)
        return record is not None and self._scope.changes(record)


@dataclass(frozen=True)
class Page:
    """A page, which is JSON as well: what ``build`` returns.

    :param path: with ``{id}`` and so on.
    :param permission: without which it is refused; which records, the API decides.
    :param nav: what the navigation calls it; empty if it is not there.
    :param is_logged: who reads it is written down, so a link of another site must not lead to it.
    """

    path: str
    template: str
    title: str
    permission: Permission
    build: Callable[[Visit], Awaitable[Data]]
    nav: str = ""
    is_logged: bool = False


@dataclass(frozen=True)
class Download:
    """A file of what a page shows.

    :param file: what browsers call it.
    :param build: its content in chunks, each made when the client has taken the one before. What is refused is refused
        before the first.
    """

    path: str
    file: str
    media_type: bytes
    permission: Permission
    build: Callable[[Visit], AsyncGenerator[bytes, None]]


@dataclass(frozen=True)
class Moved:
    """An action that leads to another page."""

    path: str


@dataclass(frozen=True)
class Shown:
    """An action with something to show that is shown this once."""

    template: str
    title: str
    data: Data


@dataclass(frozen=True)
class Streamed:
    """An action whose events are sent to the script of its page while they happen.

    :param events: names and data; closed when the page leaves.
    :param templates: name of an event -> the template that makes HTML of its data; others are sent as they are.
    """

    events: AsyncGenerator[tuple[str, Data], None]
    templates: Mapping[str, str]


@dataclass(frozen=True)
class Action:
    """A form.

    :param page: that it is on: shown again, with the error, where it is refused.
    :param waits: it changes nothing here and may take long, so it ends when its visitor leaves.
    :param max_body: bytes of the form as it is sent, in which a character may take twelve.
    """

    path: str
    permission: Permission
    run: Callable[[Visit], Awaitable[Moved | Shown | Streamed]]
    page: Page
    waits: bool = False
    max_body: int = MAX_BODY


@dataclass(frozen=True)
class Tables:
    """All that a dashboard serves."""

    pages: tuple[Page, ...]
    actions: tuple[Action, ...]
    downloads: tuple[Download, ...]


def filter_problem(error: GatewayError | FieldError) -> str | None:
    """Why filters of a query cannot be used, or let too much through; None if the error is another."""
    problem = of_field(error) if isinstance(error, FieldError) else error
    return problem.public_message if problem.status == 400 or isinstance(problem, QueryTimeout) else None


def part(text: str) -> str:
    """A part of a path."""
    return quote(text, safe="")
