"""Settings -> aliases: further names of served models, and every problem with them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from modelmux.catalog import Catalog
from modelmux.config.geography_check import is_inside
from modelmux.config.schema import AliasConfig, VertexModel
from modelmux.routing.aliases import Alias, by_name, find_cycles
from modelmux.routing.geography import closest_match
from modelmux.routing.routes import MAX_NAME_LENGTH, Routes

#: ``[aliases]``: name -> the name it stands for, or a table with a successor.
AliasTable = Mapping[str, str | AliasConfig]
#: Why a model of the catalog cannot be served; None if it can.
WhyNotServed = Callable[[str], str | None]


def read_aliases(models: Iterable[VertexModel], table: AliasTable) -> list[Alias]:
    """The aliases of the models' entries, then those of ``[aliases]``."""
    aliases = [Alias(name, model.name) for model in models for name in model.aliases]
    for name, target in table.items():
        if isinstance(target, str):
            aliases.append(Alias(name, target))
        else:
            aliases.append(Alias(name, target.model, target.successor, target.from_))
    return aliases


def alias_problems(
    models: list[VertexModel], table: AliasTable, catalog: Catalog, why_not_served: WhyNotServed
) -> list[str]:
    """Names used twice, cycles, targets that do not exist, incomplete successions."""
    aliases = read_aliases(models, table)
    routes = [model.name for model in models]
    problems = [*_names(models, table), *_duplicate_names(models, table), *_incomplete_successions(table)]
    known, lower = by_name(aliases), {name.lower() for name in routes}
    problems += [
        f"{setting(known[loop[0]].name)}: it leads back to itself: {' -> '.join(loop)}"
        for loop in find_cycles(known, lambda name: name in lower)
    ]
    for name, entry in table.items():
        for target in [entry] if isinstance(entry, str) else [entry.model, *filter(None, [entry.successor])]:
            key = target.lower()
            if key in lower or (key in known and key != name.lower()):
                continue
            others = [*routes, *(a.name for a in aliases if a.name != name)]
            problem = unresolved_target(target, others, catalog, why_not_served)
            problems += [f"{setting(name)}: {problem}"] if problem else []
    return problems


def unresolved_target(target: str, names: list[str], catalog: Catalog, why_not_served: WhyNotServed) -> str | None:
    """Why nothing is served by a name that is neither configured nor an alias; None if the catalog serves it.

    :param names: what else may have been meant.
    """
    card = catalog.find(target)
    if card is not None:
        return why_not_served(card.id)
    known = {name.lower(): name for name in [*(card.base for card in catalog.cards), *names]}
    near = closest_match(target, known)
    return f"nothing is served as {target!r}" + (f"; did you mean {known[near]!r}?" if near else "")


def _names(models: list[VertexModel], table: AliasTable) -> list[str]:
    names = [("vertex.models", model.name) for model in models]
    names += [(f"vertex.models {model.name!r} aliases", name) for model in models for name in model.aliases]
    names += [("aliases", name) for name in table]
    empty = [f"{where}: a name cannot be empty" for where, name in names if not name.strip()]
    return empty + [
        f"{where}: the name {name[:30]!r}… is longer than {MAX_NAME_LENGTH} characters"
        for where, name in names
        if len(name) > MAX_NAME_LENGTH
    ]


def _duplicate_names(models: list[VertexModel], table: AliasTable) -> list[str]:
    """Names with two meanings. A duplicate within ``vertex.models`` names that alone, any other both settings."""
    uses: dict[str, list[str]] = {}
    for model in models:
        uses.setdefault(model.name.lower(), []).append("vertex.models")
    for model in models:
        for name in model.aliases:
            uses.setdefault(name.lower(), []).append(f"vertex.models {model.name!r} aliases")
    for name in table:
        uses.setdefault(name.lower(), []).append(setting(name))
    problems = []
    for name, where in uses.items():
        distinct = list(dict.fromkeys(where))
        if len(where) > 1:
            also = f", also by {distinct[0]}" if len(distinct) > 1 else ""
            problems.append(f"{distinct[-1]}: the name {name!r} is used twice{also}")
    return problems


def _incomplete_successions(table: AliasTable) -> list[str]:
    problems = []
    for name, target in table.items():
        if isinstance(target, str) or (target.successor is None) == (target.from_ is None):
            continue
        missing = "from, the first day of the successor" if target.from_ is None else "successor"
        problems.append(f"{setting(name)}: {missing} is missing; set both or neither")
    return problems


def succession_problems(routes: Routes) -> list[str]:
    """Successors that leave the geography of their predecessor: it binds whoever requests the name."""
    problems = []
    for alias in routes.aliases:
        if alias.successor is None or alias.from_date is None:
            continue
        before = routes.for_day(type(alias.from_date).min).route_of(alias)
        after = routes.for_day(alias.from_date).route_of(alias)
        if before is None or after is None or is_inside(after.deployments, before.geographies):
            continue
        geography = " and ".join(before.geographies)
        problems.append(
            f"{setting(alias.name)}: the successor {alias.successor!r} may be called outside the geography {geography} "
            f"of {alias.model!r}; declare it for both"
        )
    return problems


def setting(name: str) -> str:
    """The setting of an alias, in the notation of messages."""
    plain = name.replace("-", "").replace("_", "")
    return f"aliases.{name}" if plain.isascii() and plain.isalnum() else f'aliases."{name}"'
