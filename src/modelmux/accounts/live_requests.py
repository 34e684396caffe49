"""Requests that run: what a worker tells of one, and what it can be asked. Messages between processes, and pure."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from modelmux.accounts.usage_scope import Where

#: ``receiving``: its body is read. ``queued``: it waits for a slot of the gateway or of a deployment. ``waiting``: the
#: upstream has it, and there is no content yet. ``thinking``, ``streaming``: what the reply is at.
LiveState = Literal["receiving", "queued", "waiting", "thinking", "streaming"]


class LiveRequest(Struct, frozen=True, kw_only=True):
    """A request that runs, at the moment of the question.

    :param id: of this running request: ``live_``, its worker, its process, its number there.
    :param row: id of the row that it will have in the ledger; None before its first call.
    :param age: seconds since it arrived. :param first_content: seconds from its arrival to its first content.
    :param key: as rows have it. :param team: ids from the topmost team down, joined by ``/``.
    :param requested_model: what the client asked for, as far as it can be shown. :param model: of the last attempt, or
        of the route before the first.
    :param attempts: calls to upstreams so far. :param deployment, location: of the last one.
    :param output_tokens: so far; None if nothing came. :param estimated: they are counted by characters.
    :param held: nano-USD that budgets hold for it; None if none does.
    """

    id: str
    request_id: str
    row: bytes | None
    age: float
    first_content: float | None
    key: str
    person: str | None
    team: str
    dialect: str
    operation: str
    requested_model: str | None
    route: str | None
    model: str | None
    location: str | None
    deployment: str | None
    stream: bool
    state: LiveState
    attempts: int
    output_tokens: int | None
    estimated: bool
    held: int | None
    response_bytes: int


class ListLive(Struct, frozen=True, kw_only=True, tag="list", array_like=True):
    """Which requests run, the newest first?

    :param where: dimension -> the values that count, as for rows of the ledger; all have to match.
    :param id: only this one.
    :param min_age: seconds. :param limit: requests that are listed in full.
    """

    where: Where = ()
    id: str | None = None
    state: LiveState | None = None
    min_age: float = 0.0
    limit: int = 1_000


class EndLive(Struct, frozen=True, kw_only=True, tag="end", array_like=True):
    """End this one."""

    id: str


class LiveList(Struct, frozen=True, kw_only=True, tag="list", array_like=True):
    """:param more: that match, and are not listed."""

    requests: list[LiveRequest]
    more: int = 0


class LiveEnd(Struct, frozen=True, kw_only=True, tag="end", array_like=True):
    """:param ended: it ran, and was told to end."""

    ended: bool


LiveQuestion = ListLive | EndLive
LiveAnswer = LiveList | LiveEnd

encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(LiveQuestion).decode
decode_answer = msgspec.msgpack.Decoder(LiveAnswer).decode


def is_of_caller(where: Where, key: str, person: str | None, team: str) -> bool:
    """Whether a request of this caller can match: asked before anything else of it is looked at."""
    for name, values in where:
        if name == "key" and key not in values:
            return False
        if name == "person" and person not in values:
            return False
        if name == "team" and not any(one in values for one in team.split("/")):
            return False
    return True


def matches(question: ListLive, one: LiveRequest) -> bool:
    """Whether a request is one of those that are asked for."""
    if question.id is not None and one.id != question.id:
        return False
    if question.state is not None and one.state != question.state:
        return False
    if one.age < question.min_age or not is_of_caller(question.where, one.key, one.person, one.team):
        return False
    models = (one.model, one.route, one.requested_model)
    return all(name != "model" or any(model in values for model in models) for name, values in question.where)


def worker_of(id: str) -> int | None:
    """The number of the worker that the id of a running request names; None if it is not one."""
    parts = id.split("_")
    if len(parts) != 4 or parts[0] != "live" or not (parts[1].isascii() and parts[1].isdigit()) or len(parts[1]) > 4:
        return None
    return int(parts[1]) or None
