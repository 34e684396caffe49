"""Usage over the admin API of a gateway, as the ledger would have it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from modelmux.accounts.amounts import parse_amount
from modelmux.accounts.cost import Cost, TokenCounts
from modelmux.accounts.periods import format_instant, parse_instant
from modelmux.accounts.usage_names import NAME_FIELDS, Names
from modelmux.accounts.usage_query import UsageQuery, UsageRow
from modelmux.admin.operation import MAX_LIMIT
from modelmux.cli.accounts.api.client import AdminClient
from modelmux.cli.usage.options import Where

_TAG: Final = "tag:"


class Answer(Struct, frozen=True):
    """:param own_prices: the gateway has some. :param warnings: for people. :param names: of groups."""

    rows: list[UsageRow]
    own_prices: bool
    warnings: list[str]
    names: Names


async def zone_name(client: AdminClient) -> str:
    """``accounts.zone`` of the gateway. :raises ApiError:"""
    name: str = (await client.call("GET", "/usage", query={"bucket": "all"}))["zone"]
    return name


async def ask_usage(client: AdminClient, query: UsageQuery) -> Answer:
    """The whole report, page after page. :raises ApiError:"""
    pages, position = list[Answer](), {} if query.top else {"limit": str(MAX_LIMIT)}
    while True:
        answer = await client.call("GET", "/usage", query=_params(query) | position)
        pages.append(_page(query, answer))
        if answer["next"] is None:
            break
        position["after"] = answer["next"]
    return Answer(
        rows=[row for page in pages for row in page.rows],
        own_prices=pages[-1].own_prices,
        warnings=pages[-1].warnings,
        names={pair: name for page in pages for pair, name in page.names.items()},
    )


def _page(query: UsageQuery, answer: Mapping[str, Any]) -> Answer:
    results = [(parse_instant(bucket["start"]), one) for bucket in answer["data"] for one in bucket["results"]]
    rows = [_row(start, query.group_by, result) for start, result in results]
    others = [(parse_instant(one["start"]), one["others"]) for one in answer["data"] if one.get("others")]
    names = {
        (name, value): result[NAME_FIELDS[name]]
        for (_, result), row in zip(results, rows, strict=True)
        for name, value in zip(query.group_by, row.group, strict=True)
        if name in NAME_FIELDS
    }
    rows += [replace(_row(start, (), one), others=one["groups"]) for start, one in others]
    return Answer(rows, answer["prices"] == "list_and_own", answer["warnings"], names)


def where_params(where: Where) -> dict[str, str]:
    """A filter as parameters of the admin API."""
    params: dict[str, list[str]] = {}
    for name, values in where:
        tag = name.removeprefix(_TAG)
        params.setdefault("tag" if tag != name else name, []).extend(
            f"{tag}={value}" if tag != name else value for value in values
        )
    return {name: ",".join(values) for name, values in params.items()}


def _params(query: UsageQuery) -> dict[str, str]:
    groups = {"group_by": ",".join(query.group_by)} if query.group_by else {}
    if query.top:
        groups["top"] = str(query.top)
    return {
        "start": format_instant(query.start, UTC), "end": format_instant(query.end, UTC), "bucket": query.bucket,
        "zone": query.zone, **groups, **where_params(query.where),
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
