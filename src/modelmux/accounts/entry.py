"""A row of the ledger: what one request did and cost, however it ended. Never a prompt, never a secret."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.counts import Round
from modelmux.accounts.slices import WindowKey

#: ``usage``: a request. All others correct the row that ``corrects`` names: ``rerate`` has the difference to its cost
#: at other prices, ``void`` takes it back, ``in_doubt`` charges what may have been used, ``resolve`` corrects that.
Kind = Literal["usage", "rerate", "void", "in_doubt", "resolve"]

#: The key of requests that sent none, where none is required.
KEYLESS: Final = "anonymous"
#: Keys of rows that are not in the directory.
WITHOUT_RECORD: Final = re.compile(rf"{KEYLESS}|unknown|static_[0-9]{{1,4}}")


class AttemptEntry(Struct, frozen=True, array_like=True):
    """One call to an upstream. What its cost depends on is here, so that it can be computed anew.

    :param result: ``ok``, the code of its error, or the outcome of the request where that ended it.
    :param model: its Vertex id; None in rows of before attempts had one.
    :param price: id of the price; None if nothing was charged, or the price is unknown.
    :param fast: it ran in fast mode, whether that has a price or not.
    :param rounds: of more than one, what each used; empty otherwise.
    """

    deployment: str
    result: str
    counts: TokenCounts | None = None
    model: str | None = None
    location: str | None = None
    price: str | None = None
    fast: bool = False
    rounds: tuple[Round, ...] = ()


class Entry(Struct, frozen=True, kw_only=True):
    """One row.

    :param id: 16 bytes, a UUID version 7 made by the gateway; the rows of one day follow each other.
    :param at: microseconds in UTC, when the request arrived.
    :param key: id of the key; of a static one ``static_1`` and so on; ``KEYLESS`` without one.
    :param team: ids from the topmost team to that of the key, joined by ``/``; empty without a team.
    :param end_user: whom the client named, hashed unless the operator wants it plain; a claim of the key's holder.
    :param tags: sorted.
    :param requested: the model as the client wrote it, ``route`` its public name, ``model`` what answered.
    :param cost: None if the price is unknown, which is not the same as nothing.
    :param price: id of the price: model, first day, location class.
    :param hold: nano-USD that were reserved.
    :param debits: what it spent of which windows of budgets, in the unit of each.
    :param estimated: the upstream did not report all counts.
    :param duration, first_content: microseconds.
    :param client_request_id: as the client sent it; it may repeat.
    :param upstream_id: of the reply's message.
    """

    id: bytes
    at: int
    kind: Kind = "usage"
    corrects: bytes | None = None
    reason: str | None = None
    key: str = KEYLESS
    person: str | None = None
    team: str = ""
    end_user: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    dialect: str = ""
    operation: str = ""
    requested: str | None = None
    route: str | None = None
    model: str | None = None
    location: str | None = None
    deployment: str | None = None
    attempts: tuple[AttemptEntry, ...] = ()
    outcome: str = "ok"
    status: int = 200
    code: str | None = None
    stream: bool = False
    counts: TokenCounts = TokenCounts()
    cost: Cost | None = Cost()
    price: str | None = None
    hold: int = 0
    debits: tuple[tuple[WindowKey, int], ...] = ()
    estimated: bool = False
    recovered: bool = False
    duration: int = 0
    first_content: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    client_request_id: str | None = None
    upstream_id: str | None = None
    trace_id: str | None = None
    agent: str | None = None
    app: str | None = None

    def charged(self, debits: tuple[tuple[WindowKey, int], ...], hold: int) -> Entry:
        """The row with what it spent of budgets, and what was held."""
        return replace(self, debits=debits, hold=hold)
