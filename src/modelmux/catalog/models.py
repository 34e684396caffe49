"""The model catalog: what each Claude model on Vertex AI accepts, looked up and never guessed from a name.

The data is in ``models.toml``, with the source of every row. A name that is not in it gets a conservative card
(``known`` is False): parameters that some models reject are not sent.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

#: Similarity from which an unknown name is taken for a typing error.
_TYPO_SIMILARITY: Final = 0.8
_DATED: Final = re.compile(r"^(?P<base>.+?)-(?P<date>20\d{6})$")
#: Served for every model, as far as the catalog knows.
MULTI_REGION_LOCATIONS: Final = ("global", "us", "eu")
_ROUTING_PREFIXES: Final = ("openrouter/", "publishers/anthropic/models/", "vertex_ai/", "anthropic/", "vertex/")
#: First-party names of the first models of a generation: ``claude-sonnet-4-0``.
_POINT_ZERO: Final = re.compile(r"(-[0-9])-0$")

Effort = Literal["low", "medium", "high", "xhigh", "max"]
ThinkingType = Literal["adaptive", "enabled", "disabled", "between_tools"]


class ModelCard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model accepts. The head of ``models.toml`` explains the fields; sizes are in tokens."""

    id: str
    display_name: str = ""
    context_window: int = field(name="context")
    max_output: int
    #: The context window of requests with the beta ``context_beta``; None if there is no such beta.
    beta_context_window: int | None = field(default=None, name="beta_context")
    context_beta: str | None = None
    thinking: tuple[ThinkingType, ...]
    thinking_default: Literal["on", "off"]
    display_default: Literal["summarized", "omitted"]
    effort: tuple[Effort, ...]
    sampling: Literal["accept", "reject"]
    prefill: bool
    forced_tool_choice: Literal["ok", "not_with_thinking", "reject"]
    structured_output: bool
    web_search: bool = True
    supports_mid_system: bool = field(name="mid_system")
    preserved_thinking: bool
    cache_minimum: int
    tokenizer: Literal["claude-3", "claude-4-7"] = "claude-4-7"
    #: Whether Vertex AI's count-tokens knows it, under ``base``.
    count_tokens: bool = True
    fast_mode: bool = False
    #: Whether it is the model to begin with: lists have it first.
    everyday: bool = False
    regional: bool
    lineage: str
    #: Quota bucket of requests in fast mode.
    fast_lineage: str = ""
    source: str
    effort_default: Effort | None = None
    #: Effort values that are accepted together with ``thinking: disabled``; None means all of them.
    disabled_effort: tuple[Effort, ...] | None = None
    #: Single regions that serve it, if they are known; None means any.
    regions: tuple[str, ...] | None = None
    released_on: date | None = field(default=None, name="launched")
    #: The earliest day of its retirement; Google sets the actual one.
    retires_on: date | None = field(default=None, name="retires")
    #: The day of a confirmed shutdown.
    retired_on: date | None = field(default=None, name="retired")
    replacement: str | None = None
    known: bool = True

    @property
    def base(self) -> str:
        """The id without its version (``claude-sonnet-4-5``)."""
        return self.id.partition("@")[0]

    def is_retired(self, day: date) -> bool:
        """Whether its shutdown is confirmed and has happened by a day. A date in ``retires_on`` alone is not enough."""
        return self.retired_on is not None and day >= self.retired_on

    def served_in(self, location: str) -> bool:
        """Whether Vertex AI serves this model in a location, as far as the catalog knows."""
        if location in MULTI_REGION_LOCATIONS:
            return True
        return self.regional and (self.regions is None or location in self.regions)


class RetiredModel(Struct, frozen=True, forbid_unknown_fields=True):
    """A model of which only its retirement is known."""

    id: str
    retired_on: date = field(name="retired")
    replacement: str
    source: str


def normalise(name: str) -> str:
    """A model name as people type it -> the key of the catalog.

    Drops routing prefixes, ``@default`` and ``-latest``, writes ``4.5`` as ``4-5`` and ``4-0`` as ``4``, turns the
    first-party ``-YYYYMMDD`` into Vertex's ``@YYYYMMDD``.
    """
    name = name.strip().lower()
    for prefix in _ROUTING_PREFIXES:
        name = name.removeprefix(prefix)
    name = name.removesuffix("@default").removesuffix("-latest").replace(".", "-")
    name = _POINT_ZERO.sub(r"\1", name)
    dated = _DATED.match(name)
    return f"{dated['base']}@{dated['date']}" if dated else name


class Catalog:
    """An immutable set of cards, with look-up by Vertex id, first-party id or undated name. Everyday models come first.

    :param retired: models without a card.
    """

    def __init__(self, cards: Iterable[ModelCard], retired: Iterable[RetiredModel] = ()) -> None:
        self.cards: tuple[ModelCard, ...] = tuple(sorted(cards, key=lambda card: not card.everyday))
        self.retired: tuple[RetiredModel, ...] = tuple(retired)
        self._by_name: dict[str, ModelCard] = {}
        for card in self.cards:
            self._by_name[normalise(card.id)] = card
            self._by_name.setdefault(normalise(card.base), card)

    def find(self, name: str) -> ModelCard | None:
        """The card of a model by any of its names, or None."""
        return self._by_name.get(normalise(name))

    def card(self, name: str) -> ModelCard:
        """The card of a model; for an unknown one a conservative card under that name."""
        return self.find(name) or self._unknown(name)

    def _unknown(self, name: str) -> ModelCard:
        card, key = _unknown(name), normalise(name)
        for model in self.retired:
            if key in (model.id, model.id.partition("@")[0]):
                return msgspec.structs.replace(card, retired_on=model.retired_on, replacement=model.replacement)
        return card

    def nearest(self, name: str) -> str | None:
        """The name of a model that an unknown name was probably meant for, with its version if that name has one.

        None if none is close. Versions are compared only among those of the nearest model: most are a date, which would
        outweigh the name.
        """
        key = normalise(name)
        base, at, _ = key.partition("@")
        matches = difflib.get_close_matches(base, [card.base for card in self.cards], n=1, cutoff=_TYPO_SIMILARITY)
        if not at or not matches:
            return matches[0] if matches else None
        ids = [card.id for card in self.cards if card.base == matches[0]]
        return difflib.get_close_matches(key, ids, n=1, cutoff=0.0)[0]

    def with_cards(self, overrides: Iterable[Mapping[str, Any]]) -> Catalog:
        """A new catalog with cards added, or fields of existing ones replaced (``id`` names the card), one by one."""
        catalog = self
        for override in overrides:
            catalog = catalog._with_card(override)
        return catalog

    def _with_card(self, override: Mapping[str, Any]) -> Catalog:
        name = str(override.get("id", ""))
        known = self.card(name)
        current = {info.encode_name: getattr(known, info.name) for info in msgspec.structs.fields(ModelCard)}
        cards = {card.id: card for card in self.cards}
        cards[known.id] = msgspec.convert({**current, **override, "id": known.id, "known": True}, ModelCard)
        return Catalog(cards.values(), self.retired)


def _unknown(name: str) -> ModelCard:
    """A card for an unknown model: the rules of the newest generation, so that nothing it may reject is sent."""
    return ModelCard(
        id=name,
        context_window=200_000,
        max_output=64_000,
        thinking=("adaptive",),
        thinking_default="on",
        display_default="omitted",
        effort=("low", "medium", "high"),
        sampling="reject",
        prefill=False,
        forced_tool_choice="ok",
        structured_output=True,
        web_search=False,
        supports_mid_system=False,
        preserved_thinking=True,
        cache_minimum=4096,
        regional=True,
        lineage="",
        source="conservative default for a model the catalog does not know",
        known=False,
    )


@cache
def builtin() -> Catalog:
    """The catalog that ships with the package."""
    text = resources.files(__package__).joinpath("models.toml").read_text("utf-8")
    tables = tomllib.loads(text)
    return Catalog(
        msgspec.convert(tables["model"], list[ModelCard]), msgspec.convert(tables["retired"], list[RetiredModel])
    )
