"""What becomes of the values of the ``anthropic-beta`` header. Data: ``betas.toml``; this module looks it up."""

from __future__ import annotations

import functools
import importlib.resources
import tomllib
from typing import Final, Literal

import msgspec
from msgspec import Struct


class BetaGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values with the same rule. See ``betas.toml`` for the fields."""

    action: Literal["keep", "rename", "drop"]
    evidence: Literal["A", "L", "H", "P"]
    values: tuple[str, ...]
    to: str | None = None
    models: tuple[str, ...] | None = None
    not_models: tuple[str, ...] = ()
    reason: str = ""

    def serves(self, model: str) -> bool:
        """Whether the values are forwarded for a model. :param model: its id in the catalog."""
        return self.action != "drop" and (self.models is None or model in self.models) and model not in self.not_models


class BetaPair(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields that need one of some betas."""

    betas: tuple[str, ...]
    fields: tuple[str, ...]


class Betas(Struct, frozen=True):
    """The table."""

    group: tuple[BetaGroup, ...]
    pair: tuple[BetaPair, ...]

    def find(self, value: str) -> BetaGroup | None:
        """The group of a value; None if no group lists it."""
        exact, prefixes = _index()
        group = exact.get(value)
        if group is not None:
            return group
        return next((group for prefix, group in prefixes if value.startswith(prefix)), None)

    def needed_by(self, field: str) -> BetaPair | None:
        """The pair of a field, by its pattern in the table."""
        return next((pair for pair in self.pair if field in pair.fields), None)


@functools.cache
def betas() -> Betas:
    """The table, read once."""
    data = tomllib.loads((importlib.resources.files(__package__) / "betas.toml").read_text("utf-8"))
    return msgspec.convert(data, Betas)


@functools.cache
def _index() -> tuple[dict[str, BetaGroup], list[tuple[str, BetaGroup]]]:
    pairs = [(value, group) for group in betas().group for value in group.values]
    exact = {value: group for value, group in pairs if not value.endswith(_ANY)}
    return exact, [(value.removesuffix(_ANY), group) for value, group in pairs if value.endswith(_ANY)]


_ANY: Final = "*"
