"""What one call to an upstream costs, however it ended. The table of cases is that of ``docs/accounts.md``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.counts import Round, rounds_of
from modelmux.accounts.priced_calls import PricedCall, cost_of_call, cost_of_calls
from modelmux.catalog.prices import PriceList
from modelmux.claude.demand import Writes
from modelmux.wire.anthropic import Usage

_NOTHING: Final = TokenCounts()
#: Characters of a token, at least: what was delivered of a reply that broke off is charged rather too high.
_CHARACTERS: Final = 3
#: How long the prompt may be written to the cache -> the dearest that a token of it can be.
_WRITTEN_AS: Final = {"none": "input", "5m": "cache_write", "1h": "cache_write_1h"}


class Call(Struct, frozen=True, kw_only=True):
    """How one call ended.

    :param model: its Vertex id.
    :param usage: as far as the upstream reported it.
    :param is_complete: the reply came whole, so ``usage`` is all there is.
    :param output_reported: ``usage`` has the output; at the beginning of a reply it has a placeholder.
    :param may_be_billed: the request reached the upstream, which did not refuse it.
    :param characters: of text, thinking and inputs of tools that came.
    :param prompt_bound: tokens of the request, at most; only read where the upstream reported none.
    :param output_bound: tokens of the reply, at most; only read where it broke off. None if that is not known.
    :param is_ended: how far it came is known; otherwise it may have come to its bound, and to what follows.
    :param writes, searches, fast: what it may have done beside that; see ``claude.demand.Demand``.
    """

    model: str
    location: str
    day: date
    usage: Usage | None
    is_complete: bool
    output_reported: bool = True
    may_be_billed: bool
    characters: int = 0
    prompt_bound: int = 0
    output_bound: int | None = None
    is_ended: bool = True
    writes: Writes = "none"
    searches: int = 0
    fast: bool = False

    @property
    def is_fast(self) -> bool:
        """Whether it has the price of fast mode."""
        return (self.usage is not None and self.usage.speed == "fast") or (self.fast and not self.is_ended)


class Charge(Struct, frozen=True, kw_only=True):
    """What a call costs.

    :param cost: None if its price is unknown.
    :param price: id of the price; None if nothing was charged, or the price is unknown.
    :param estimated: the upstream did not report all of it.
    :param rounds: of more than one, each with a prompt of its own; empty otherwise.
    """

    counts: TokenCounts = TokenCounts()
    cost: Cost | None = Cost()
    price: str | None = None
    estimated: bool = False
    rounds: tuple[Round, ...] = ()


def charge(call: Call, prices: PriceList) -> Charge:
    """The charge for a call that is over. Each of its rounds has the price of its own prompt."""
    rounds, estimated = _rounds(call)
    counts = rounds[0].counts if len(rounds) == 1 else sum((one.counts for one in rounds), _NOTHING)
    if counts == _NOTHING:
        return Charge(estimated=estimated)
    fast = call.is_fast
    if len(rounds) == 1:
        model = rounds[0].model or call.model
        cost, price = cost_of_call(counts, model, call.location, call.day, prices, fast=fast) or (None, None)
        return Charge(counts=counts, cost=cost, price=price, estimated=estimated)
    calls = (PricedCall(one.counts, one.model or call.model, call.location, fast) for one in rounds)
    cost, price = cost_of_calls(calls, call.day, prices) or (None, None)
    return Charge(counts=counts, cost=cost, price=price, estimated=estimated, rounds=tuple(rounds))


def total(charges: Sequence[Charge]) -> tuple[TokenCounts, Cost | None, str | None]:
    """Counts, cost and price of all calls together. The cost is unknown if that of one of them is."""
    if len(charges) == 1:
        return charges[0].counts, charges[0].cost, charges[0].price
    counts, cost, price = TokenCounts(), Cost(), None
    known: Cost | None = cost
    for one in charges:
        counts += one.counts
        price = one.price or price
        known = None if known is None or one.cost is None else known + one.cost
    return counts, known, price if known is not None else None


def _rounds(call: Call) -> tuple[list[Round], bool]:
    if call.usage is None:
        if not call.may_be_billed:
            return [], False
        return [Round(_prompt(call, call.prompt_bound) + TokenCounts(output=_delivered(call)))], True
    rounds, absurd = rounds_of(call.usage)
    if call.is_complete:
        return rounds, absurd
    if call.is_ended and not call.output_reported and not call.characters:
        return [Round(replace(one.counts, output=0, thinking=0), one.model) for one in rounds], True
    last = rounds[-1]
    unreported = max(0, _delivered(call) - sum(one.counts.output for one in rounds))
    counts = replace(last.counts, output=last.counts.output + unreported)
    if call.searches and not call.is_ended:  # each adds to the prompt, and has it read again
        counts += _prompt(call, max(0, call.prompt_bound - sum(one.counts.prompt for one in rounds)))
    rounds[-1] = Round(counts, last.model)
    return rounds, True


def _prompt(call: Call, tokens: int) -> TokenCounts:
    """Tokens of which the upstream reported nothing: at the dearest rate, if the end of the call is unknown."""
    if call.is_ended:
        return TokenCounts(input=tokens)
    counts = {_WRITTEN_AS[call.writes]: tokens}
    return TokenCounts(web_searches=call.searches, **counts)


def _delivered(call: Call) -> int:
    if not call.is_ended:
        return call.output_bound or 0
    tokens = delivered_tokens(call.characters)
    return tokens if call.output_bound is None else min(tokens, call.output_bound)


def delivered_tokens(characters: int) -> int:
    """Tokens of output, by their characters: an estimate, and rather too many than too few."""
    return characters // _CHARACTERS + 1 if characters else 0
