"""Settings -> aliases: further names for what is served, and everything that is wrong with them, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from modelmux.catalog import Catalog
from modelmux.config.geography_check import stays_inside
from modelmux.config.schema import Alias as Given
from modelmux.config.schema import VertexModel
from modelmux.routing.aliases import Alias, by_name, find_cycles
from modelmux.routing.geography import closest_match
from modelmux.routing.routes import MAX_NAME_LENGTH, Routes


def read_aliases(models: Iterable[VertexModel], given: dict[str, str | Given]) -> list[Alias]:
    """The aliases of the models' entries, then those of ``[aliases]``."""
    found = [Alias(name, model.name) for model in models for name in model.aliases]
    for name, meant in given.items():
        if isinstance(meant, str):
            found.append(Alias(name, meant))
        else:
            found.append(Alias(name, meant.model, meant.successor, meant.from_))
    return found


def alias_problems(
    models: list[VertexModel], given: dict[str, str | Given], catalog: Catalog, unserved: Callable[[str], str | None]
) -> list[str]:
    """Names used twice, loops, dead ends, half a succession.

    :param unserved: why a model of the catalog cannot be served, or None.
    """
    aliases = read_aliases(models, given)
    routes = [model.name for model in models]
    problems = [*_names(models, given), *_twice(models, given), *_halves(given)]
    table, lower = by_name(aliases), {name.lower() for name in routes}
    problems += [
        f"{setting(table[loop[0]].name)}: it leads back to itself: {' -> '.join(loop)}"
        for loop in find_cycles(table, lambda name: name in lower)
    ]
    for name, meant in given.items():
        for target in [meant] if isinstance(meant, str) else [meant.model, *filter(None, [meant.successor])]:
            key = target.lower()
            if key in lower or (key in table and key != name.lower()):
                continue
            problem = _dead_end(target, [*routes, *(a.name for a in aliases if a.name != name)], catalog, unserved)
            problems += [f"{setting(name)}: {problem}"] if problem else []
    return problems


def _dead_end(
    target: str, names: list[str], catalog: Catalog, unserved: Callable[[str], str | None]
) -> str | None:  # fmt: skip
    card = catalog.find(target)
    if card is not None:
        return unserved(card.id)
    known = {name.lower(): name for name in [*(card.base for card in catalog.cards), *names]}
    near = closest_match(target, known)
    return f"nothing is served as {target!r}" + (f"; did you mean {known[near]!r}?" if near else "")


def _names(models: list[VertexModel], given: dict[str, str | Given]) -> list[str]:
    every = [("vertex.models", model.name) for model in models]
    every += [(f"vertex.models {model.name!r} aliases", name) for model in models for name in model.aliases]
    every += [("aliases", name) for name in given]
    empty = [f"{where}: a name cannot be empty" for where, name in every if not name.strip()]
    return empty + [
        f"{where}: the name {name[:30]!r}… is longer than {MAX_NAME_LENGTH} characters"
        for where, name in every
        if len(name) > MAX_NAME_LENGTH
    ]


def _twice(models: list[VertexModel], given: dict[str, str | Given]) -> list[str]:
    """Names that stand for two things. ``vertex.models`` alone is told as such, the rest with both places."""
    uses: dict[str, list[str]] = {}
    for model in models:
        uses.setdefault(model.name.lower(), []).append("vertex.models")
    for model in models:
        for name in model.aliases:
            uses.setdefault(name.lower(), []).append(f"vertex.models {model.name!r} aliases")
    for name in given:
        uses.setdefault(name.lower(), []).append(setting(name))
    problems = []
    for name, places in uses.items():
        others = list(dict.fromkeys(places))
        if len(places) > 1:
            also = f", by {others[0]} too" if len(others) > 1 else ""
            problems.append(f"{others[-1]}: the name {name!r} is used twice{also}")
    return problems


def _halves(given: dict[str, str | Given]) -> list[str]:
    problems = []
    for name, meant in given.items():
        if isinstance(meant, str) or (meant.successor is None) == (meant.from_ is None):
            continue
        missing = "from, the first day of the successor" if meant.from_ is None else "successor"
        problems.append(f"{setting(name)}: {missing} is missing; set both or none")
    return problems


def succession_problems(routes: Routes) -> list[str]:
    """Successors that leave the geography of what they succeed: a fence holds for whoever asked by the name."""
    problems = []
    for alias in routes.aliases:
        if alias.successor is None or alias.from_date is None:
            continue
        before = routes.for_day(type(alias.from_date).min).route_of(alias)
        after = routes.for_day(alias.from_date).route_of(alias)
        if before is None or after is None or stays_inside(after.deployments, before.geographies):
            continue
        fence = " and ".join(before.geographies)
        problems.append(
            f"{setting(alias.name)}: the successor {alias.successor!r} may be called outside the geography {fence}, "
            f"which {alias.model!r} may not leave; declare it for both"
        )
    return problems


def setting(name: str) -> str:
    """An alias's place in the configuration, as people write it."""
    plain = name.replace("-", "").replace("_", "")
    return f"aliases.{name}" if plain.isascii() and plain.isalnum() else f'aliases."{name}"'
