"""Operations of the admin API: what each takes, needs and answers, as values. The routes, the checks of roles and the
OpenAPI document are made from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, Final, Generic, Literal, Protocol, TypeVar

from msgspec import Meta, Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.roles import Permission, Principal, Scope
from modelmux.admin.backend import Backend
from modelmux.store.directory.base import Author

T = TypeVar("T")
R = TypeVar("R", bound="HasId")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
BASE: Final = "/admin/v1"
MAX_LIMIT: Final = 1_000
#: Bytes of the body of most operations.
MAX_BODY: Final = 1024 * 1024
_BY_ID: Final = attrgetter("id")


class HasId(Protocol):
    @property
    def id(self) -> str: ...


class NoParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No query parameters."""


class ListParams(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of a list. :param after: ``next`` of the page before."""

    limit: Annotated[int, Meta(ge=1, le=MAX_LIMIT)] = 100
    after: Annotated[str, Meta(max_length=128)] = ""


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """A part of a list. :param next: for ``after``; null on the last page."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next: str | None


@dataclass(frozen=True)
class Call:
    """A call of an operation.

    :param path: the parts of the path that its template names.
    :param params, body: the structs of the operation.
    :param read: the directory of now.
    :param if_match, idempotency_key: headers, None where they are not sent.
    :param fingerprint: of what was asked for: method, path, query and body.
    """

    backend: Backend
    principal: Principal
    author: Author
    now: int
    path: Mapping[str, str]
    params: Any
    body: Any
    read: Callable[[], Awaitable[Directory]]
    if_match: str | None = None
    idempotency_key: str | None = None
    fingerprint: bytes = b""

    def scope(self, directory: Directory) -> Scope:
        """What the principal sees and changes."""
        return Scope(directory, self.principal)


@dataclass(frozen=True)
class Reply:
    """What an operation answers.

    :param body: a struct, or plain values.
    :param etag: of the record.
    :param pending: workers that do not have the change yet.
    """

    body: Any
    etag: str | None = None
    pending: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True)
class Operation:
    """An operation.

    :param path: below ``/admin/v1``, with ``{id}`` and so on.
    :param summary: a sentence for people.
    :param permission: that the role needs; which records, the handler decides by ``Call.scope``.
    :param params, body: structs that refuse unknown fields; a body that is None is not read.
    :param reply: the type of the body of the reply.
    :param status: of the reply.
    :param max_body: bytes of its body.
    :param without_accounts: it works without them, too.
    :param writes: it answers once the workers have the change.
    :param tag: groups operations for people.
    """

    method: Method
    path: str
    summary: str
    permission: Permission
    reply: Any
    handler: Callable[[Call], Awaitable[Reply]]
    params: type[Struct] = NoParams
    body: type[Struct] | None = None
    status: int = 200
    max_body: int = MAX_BODY
    without_accounts: bool = False

    @property
    def writes(self) -> bool:
        return self.method != "GET"

    @property
    def tag(self) -> str:
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        """``get_keys_id_budgets``: unique, for programs that are generated."""
        words = self.path.replace("{", "").replace("}", "").replace("-", "_").strip("/").split("/")
        return "_".join([self.method.lower(), *words])


def page_of(records: Iterable[R], params: ListParams, show: Callable[[R], T]) -> Page[T]:
    """A page in the order of ids, which rise with time: what is added while a client reads pages comes on the last one.

    :param show: a record as the list has it.
    """
    rest = sorted([one for one in records if one.id > params.after] if params.after else records, key=_BY_ID)
    chosen = rest[: params.limit]
    has_more = len(rest) > len(chosen)
    return Page(data=[show(one) for one in chosen], has_more=has_more, next=chosen[-1].id if has_more else None)
