"""Usage over the admin API of a gateway, as the ledger would have it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import msgspec
from msgspec import Struct

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.periods import format_instant, parse_instant
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.cli.accounts.api.client import AdminClient
from modelmux.cli.usage.names import NAME_FIELDS, Names

_TAG: Final = "tag:"


class Answer(Struct, frozen=True):
    """
    :param own_prices: the gateway has some. :param warnings: for people.
    :param names: those of groups, as far as they are known.
    """

    rows: list[UsageRow]
    own_prices: bool
    warnings: list[str]
    names: Names = {}


async def zone_name(client: AdminClient) -> str:
    """``accounts.zone`` of the gateway. :raises ApiError:"""
    name: str = (await client.call("GET", "/usage", query={"bucket": "all"}))["zone"]
    return name


async def ask_usage(client: AdminClient, query: UsageQuery) -> Answer:
    """:raises ApiError:"""
    answer = await client.call("GET", "/usage", query=_params(query))
    rows = [
        _row(parse_instant(bucket["start"]), query.group_by, result)
        for bucket in answer["data"]
        for result in bucket["results"]
    ]
    names = {
        (name, value): result[NAME_FIELDS[name]]
        for bucket in answer["data"]
        for result in bucket["results"]
        for name in query.group_by
        if name in NAME_FIELDS and (value := _value(name, result)) and result[NAME_FIELDS[name]]
    }
    return Answer(rows, answer["prices"] == "list_and_own", answer["warnings"], names)


def _params(query: UsageQuery) -> dict[str, str]:
    where: dict[str, list[str]] = {}
    for name, values in query.where:
        tag = name.removeprefix(_TAG)
        where.setdefault("tag" if tag != name else name, []).extend(
            f"{tag}={value}" if tag != name else value for value in values
        )
    groups = {"group_by": ",".join(query.group_by)} if query.group_by else {}
    return {
        "start": format_instant(query.start, UTC), "end": format_instant(query.end, UTC), "bucket": query.bucket,
        "zone": query.zone, **groups, **{name: ",".join(values) for name, values in where.items()},
    }  # fmt: skip


def _row(start: int, group_by: tuple[str, ...], result: Mapping[str, Any]) -> UsageRow:
    return UsageRow(
        start=start,
        group=tuple(_value(name, result) for name in group_by),
        requests=result["requests"],
        errors=result["errors"],
        unpriced=result["unpriced"],
        counts=msgspec.convert({**result["tokens"], "web_searches": result["web_searches"]}, TokenCounts),
        cost=Cost(**{name: parse_amount(name, text, "usd") for name, text in result["cost_components"].items()}),
    )


def _value(name: str, result: Mapping[str, Any]) -> str | None:
    if name == "team":
        return "/".join(result["team_path"]) or None
    value: str | None = result[name]
    return value
