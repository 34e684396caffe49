"""What of models and deployments needs attention, for the overview."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from modelmux.dashboard.page import ROOT, Data, Visit

#: Days after which a comparison of prices with their source is old; the alert for Prometheus has the same.
_OLD_PRICES: Final = 90
#: Records that are read.
_MOST: Final = "1000"
_HREF: Final = f"{ROOT}/models"


def item(level: str, text: str, href: str | None) -> Data:
    """:param level: ``bad`` or ``warn``. :param href: where it is looked into."""
    return {"level": level, "text": text, "href": href}


class Models(NamedTuple):
    """Records of the API. Both are empty for who may not see them."""

    deployments: list[Data]
    models: list[Data]


async def read_models(visit: Visit) -> Models:
    if not visit.may("status.read"):
        return Models([], [])
    deployments = await visit.read("/deployments", limit=_MOST)
    return Models(deployments["data"], (await visit.read("/models", limit=_MOST))["data"])


def of_models(known: Models, used: Collection[str]) -> list[Data]:
    """Deployments that are left alone, models that retire soon, old prices.

    :param used: models that were used; of the others, only configured ones are told of.
    """
    deployments, models = known
    notices = {one["model"]: one["notice"] for one in models if one["configured"] or one["model"] in used}
    ages = [one["price_age_days"] for one in models if one["price_age_days"] is not None]
    items = [one for each in deployments for one in _of_deployment(each)]
    items += [item("warn", notice, _HREF) for notice in notices.values() if notice]
    if ages and min(ages) > _OLD_PRICES:
        items.append(item("warn", f"List prices were compared with their source {min(ages)} days ago", _HREF))
    return items


def _of_deployment(one: Data) -> list[Data]:
    items = []
    if one["circuit"] != "closed":
        text = "its circuit breaker is open" if one["circuit"] == "open" else "its circuit breaker tries a request"
        items.append(item("bad" if one["circuit"] == "open" else "warn", f"{one['id']}: {text}", _HREF))
    if one["quota"] == "zero":
        items.append(item("bad", f"{one['id']}: its quota seems to be zero", _HREF))
    return items
