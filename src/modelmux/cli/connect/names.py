"""Which model names a client is told to use: names that the gateway serves."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from modelmux.catalog import ModelCard
from modelmux.cli.connect.table import Client

#: Families of Claude Code's variables.
FAMILIES: Final = ("opus", "sonnet", "haiku", "fable")
#: A suffix of Claude Code: it selects the long context window, and is not part of the name.
LONG_CONTEXT: Final = "[1m]"


class ModelNames(Struct, frozen=True):
    """:param model: what to use by default.
    :param chosen: what the user asked for; empty if nothing.
    :param families: family -> model; empty if none is served.
    :param warnings: what will not work with these names, and what to do.
    """

    model: str
    context: int
    output: int
    chosen: str = ""
    families: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


def choose_names(client: Client, served: dict[str, ModelCard], chosen: str | None, *, configured: bool) -> ModelNames:
    """The names for a client.

    :param served: names that the gateway lists -> model; not empty.
    :param chosen: a name that the user wants.
    :param configured: whether the operator listed these names; if not, they are the catalog's.
    """
    families = {family: _of_family(family, served) for family in FAMILIES}
    warnings: list[str] = []
    model = chosen or _default(client, served, families, configured=configured)
    card = served.get(model.removesuffix(LONG_CONTEXT)) or next(iter(served.values()))
    if client.names == "other" and _is_claude(model):
        warnings.append(_bypasses(client, model) if chosen else _needs_alias(client, model))
        model = chosen or _alias_for(model)
    if client.names == "claude" and chosen and not _is_claude(chosen):
        warnings.append(f"{client.title} does not list {chosen}: its list has only names with `claude` in them")
    for family in ("opus", "sonnet", "haiku"):  # aliases that the client always offers
        families[family] = families[family] or model
    return ModelNames(model, card.context_window, card.max_output, chosen or "", families, tuple(warnings))


def _default(client: Client, served: dict[str, ModelCard], families: dict[str, str], *, configured: bool) -> str:
    if client.names == "other":
        other = next((name for name in served if not _is_claude(name)), None)
        if other is not None:
            return other
    first = next(iter(served))
    if client.names == "claude":
        first = next(filter(_is_claude, served), first)
    return first if configured else families["sonnet"] or first


def _of_family(family: str, served: dict[str, ModelCard]) -> str:
    """The first name of a family's models, with ``claude`` in it if possible."""
    names = [name for name, card in served.items() if f"-{family}-" in f"{card.base}-"]
    return next(filter(_is_claude, names), names[0] if names else "")


def _is_claude(name: str) -> bool:
    return "claude" in name.lower() or "anthropic" in name.lower()


def _alias_for(model: str) -> str:
    return f"gw-{model.removeprefix('claude-')}"


def _bypasses(client: Client, model: str) -> str:
    return f"{client.title} sends names such as {model} to their maker, not to the gateway: use another name"


def _needs_alias(client: Client, model: str) -> str:
    return (
        f"every served name contains `claude`, which {client.title} does not send to the gateway: add to the gateway's "
        f'configuration, under [aliases], {_alias_for(model)} = "{model}"'
    )
