"""The fallbacks of models: every problem with them at once. ``routing.routes`` resolves them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from modelmux.catalog import Catalog
from modelmux.config.aliases import AliasTable, WhyNotServed, read_aliases, unresolved_target
from modelmux.config.schema import VertexModel
from modelmux.routing.model import Route
from modelmux.routing.routes import Routes


def fallback_problems(
    models: list[VertexModel], table: AliasTable, catalog: Catalog, why_not_served: WhyNotServed
) -> list[str]:
    """Names that nothing serves, that occur twice, or that are the model's own."""
    names = [*(model.name for model in models), *(alias.name for alias in read_aliases(models, table))]
    known = {name.lower() for name in names}
    problems = []
    for model in models:
        seen: set[str] = set()
        own = {name.lower() for name in (model.name, *model.aliases)}
        for name in model.fallbacks:
            key = name.lower()
            problem = None
            if key in own:
                problem = f"{name!r} is the model itself; use the name of another one"
            elif key in seen:
                problem = f"{name!r} is listed twice; remove one"
            elif key not in known:
                others = [other for other in names if other.lower() not in own]
                problem = unresolved_target(name, others, catalog, why_not_served)
            seen.add(key)
            problems += [f"{_setting(model.name)}: {problem}"] if problem is not None else []
    return problems


def useless_fallbacks(routes: Routes, today: date) -> list[str]:
    """Fallbacks that add no deployment, today or after an alias has changed its target."""
    days = [today, *(a.from_date for a in routes.aliases if a.from_date is not None and a.from_date > today)]
    problems = (problem for day in days for problem in _useless(routes.for_day(day)))
    return list(dict.fromkeys(problems))


def _useless(routes: Routes) -> Iterator[str]:
    for route in routes.configured:
        extended = route
        for name, target in routes.fallbacks(route):
            assert target is not None, "reported before, as a fallback or as an alias"
            before, extended = extended, extended.with_fallbacks([target])
            if extended is before:
                yield f"{_setting(route.name)}: {_why_useless(name, target, route)}"


def _why_useless(name: str, target: Route, route: Route) -> str:
    if not any(route.allows_deployment(deployment) for deployment in target.deployments):
        geography = " and ".join(route.geographies)
        return (
            f"every deployment of {name!r} is outside the geography {geography}; add one inside, or remove the fallback"
        )
    return f"all deployments of {name!r} are already tried before it; remove the fallback"


def _setting(name: str) -> str:
    return f"vertex.models {name!r} fallbacks"
