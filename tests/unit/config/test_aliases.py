"""Aliases from settings: a name that leads nowhere, to two places, or round in a circle is said at start."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, build_routes, parse
from modelmux.errors import ModelNotFound
from modelmux.routing.routes import MAX_NAME_LENGTH, Routes

HERE = {"project": "p", "location": "global"}
BEFORE, DAY = date(2026, 11, 30), date(2026, 12, 1)


def routes(aliases: dict[str, Any], *models: dict[str, Any], today: date = BEFORE, **vertex: Any) -> Routes:
    config = Config.from_dict({"vertex": {**vertex, "models": list(models)}, "aliases": aliases})
    return build_routes(config, builtin(), today)


def model(**fields: Any) -> dict[str, Any]:
    return {"name": "fast", "model": "claude-haiku-4-5", **fields}


def served(found: Routes, name: str) -> str:
    return found.find(name).deployments[0].card.id


def test_a_name_may_stand_for_a_configured_name_an_alias_or_a_claude_model() -> None:
    found = routes(
        {"gpt-4o-mini": "FAST", "gpt-4.1": "gpt-4o-mini", "gpt-4o": "claude-opus-4-8", "cheap": "quick"},
        model(aliases=["quick", "Haiku"]), **HERE,
    )  # fmt: skip
    for name in ("gpt-4o-mini", "GPT-4O-mini", "gpt-4.1", "cheap", "quick", "haiku", "fast"):
        assert served(found, name) == "claude-haiku-4-5@20251001"
    assert served(found, "gpt-4o") == "claude-opus-4-8"
    assert found.find("gpt-4.1") is found.find("fast"), "one route, whatever it is called"
    assert list(found.visible_names) == ["fast", "quick", "Haiku", "gpt-4o-mini", "gpt-4.1", "gpt-4o", "cheap"]


def test_a_successor_takes_over_on_its_day() -> None:
    table = {"chat": {"model": "claude-opus-4-8", "successor": "claude-opus-5", "from": DAY}, "deep": "chat"}
    found = routes(table, **HERE)
    assert [served(found.for_day(day), "chat") for day in (BEFORE, DAY, date(2030, 1, 1))] == [
        "claude-opus-4-8", "claude-opus-5", "claude-opus-5",
    ]  # fmt: skip
    assert served(found.for_day(DAY), "deep") == "claude-opus-5", "through another alias too"
    assert served(found, "chat") == "claude-opus-4-8", "the snapshot of a day stays what it is"
    assert served(routes(table, today=DAY, **HERE), "chat") == "claude-opus-5"
    assert served(found.for_day(DAY).for_day(BEFORE), "chat") == "claude-opus-4-8"


def test_a_models_own_name_may_pass_to_its_successor() -> None:
    own = {"claude-opus-4-5": {"model": "claude-opus-4-5", "successor": "claude-opus-5", "from": DAY}}
    found = routes(own, **HERE)
    assert (served(found, "claude-opus-4-5"), served(found.for_day(DAY), "claude-opus-4-5")) == (
        "claude-opus-4-5@20251101", "claude-opus-5",
    )  # fmt: skip
    assert served(found.for_day(DAY), "claude-opus-4-5-20251101") == "claude-opus-4-5@20251101", "a pinned name stays"


def test_an_alias_wins_over_the_catalog_and_needs_no_list_of_models() -> None:
    found = routes({"claude-opus-4-1": "claude-opus-5", "gw-sonnet": "claude-sonnet-5"}, **HERE)
    assert served(found, "claude-opus-4-1") == "claude-opus-5"
    assert "gw-sonnet" in found.visible_names
    assert len(found.visible_names) == sum(not card.is_retired(BEFORE) for card in builtin().cards) + 1


def test_a_configured_place_of_the_model_is_used() -> None:
    found = routes({"chat": "claude-opus-4-8"}, model(name="mine", model="claude-opus-4-8", location="eu"), **HERE)
    assert found.find("chat") is found.find("mine")


def test_an_unknown_name_is_compared_with_aliases_too() -> None:
    with pytest.raises(ModelNotFound, match="does not exist") as caught:
        routes({"gw-sonnet": "claude-sonnet-5"}, model(), **HERE).find("gw-sonet")
    assert caught.value.hint == "Did you mean 'gw-sonnet'?"


WRONG: list[tuple[str, dict[str, Any], list[dict[str, Any]], dict[str, Any], list[str]]] = [
    ("a typing error", {"a": "claude-opus-5-6", "b": "fasst", "gpt-4.1": "nothing like it"}, [model()], HERE,
     ["aliases.a: nothing is served as 'claude-opus-5-6'; did you mean 'claude-opus-5-5'?",
      "aliases.b: nothing is served as 'fasst'; did you mean 'fast'?",
      "aliases.\"gpt-4.1\": nothing is served as 'nothing like it'"]),
    ("a typing error of a successor", {"a": {"model": "fast", "successor": "fats", "from": DAY}}, [model()], HERE,
     ["aliases.a: nothing is served as 'fats'; did you mean 'fast'?"]),
    ("itself", {"a": "A"}, [], HERE, ["aliases.a: nothing is served as 'A'"]),
    ("a circle", {"a": "B", "b": "c", "c": {"model": "fast", "successor": "a", "from": DAY}}, [model()], HERE,
     ["aliases.a: it leads back to itself: a -> b -> c -> a"]),
    ("names used twice", {"FAST": "claude-opus-5", "x": "fast", "Quick": "fast"},
     [model(aliases=["quick", "quick", "other"]), model(name="b", aliases=["OTHER", "Fast"])], HERE,
     ["aliases.FAST: the name 'fast' is used twice, also by vertex.models",
      "aliases.Quick: the name 'quick' is used twice, also by vertex.models 'fast' aliases",
      "vertex.models 'b' aliases: the name 'other' is used twice, also by vertex.models 'fast' aliases"]),
    ("half a succession", {"a": {"model": "fast", "successor": "fast"}, "b": {"model": "fast", "from": DAY}}, [model()],
     HERE,
     ["aliases.a: from, the first day of the successor is missing; set both or neither",
      "aliases.b: successor is missing; set both or neither"]),
    ("no place for a model of the catalog", {"a": "claude-opus-5"}, [model(**HERE)], {},
     [("aliases.a: claude-opus-5 has no entry in vertex.models, and vertex.project and vertex.location are not both "
      "set")]),
    ("not served in the common place", {"a": "claude-opus-5"}, [], {"project": "p", "location": "us-east5"},
     [("aliases.a: claude-opus-5 is not served in us-east5, the common location; add an entry in vertex.models "
      "with one of global, us or eu")]),
    ("names nobody can ask for", {"": "fast", "y" * (MAX_NAME_LENGTH + 1): "fast"}, [model(aliases=[" "])], HERE,
     ["vertex.models 'fast' aliases: a name cannot be empty", "aliases: a name cannot be empty",
      f"aliases: the name '{'y' * 30}'… is longer than {MAX_NAME_LENGTH} characters"]),
    ("a target whose own settings are wrong is no dead end", {"a": "fast"},
     [model(model="claude-tomorrow", location="nowhere1")], HERE,
     ["vertex.models 'fast': 'nowhere1' is not a location of Vertex AI; use global, us, eu or a region"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("aliases", "models", "vertex", "expected"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)  # fmt: skip
def test_what_is_wrong_with_names_is_said_all_at_once(
    aliases: dict[str, Any], models: list[dict[str, Any]], vertex: dict[str, Any], expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        routes(aliases, *models, **vertex)
    assert caught.value.problems == expected


def test_a_successor_does_not_leave_the_geography_of_what_it_succeeds() -> None:
    fenced = model(name="here", model="claude-opus-4-8", location="eu", geography="eu")
    succession = {"model": "here", "successor": "there", "from": DAY}
    with pytest.raises(ConfigError) as caught:
        routes({"chat": succession}, fenced, model(name="there", model="claude-opus-5"), **HERE)
    assert caught.value.problems == [
        ("aliases.chat: the successor 'there' may be called outside the geography eu of 'here'; declare it for both")
    ]
    inside = model(name="there", model="claude-opus-5", location="eu")
    assert (
        served(routes({"chat": succession, "x": "here"}, fenced, inside, today=DAY, **HERE), "chat") == "claude-opus-5"
    )


def test_a_successor_whose_host_alone_lies_outside_leaves_it_too() -> None:
    fenced = model(name="here", model="claude-opus-4-8", location="eu", geography="eu")
    split = model(name="there", model="claude-tomorrow", location="eu", region="europe-west2")
    with pytest.raises(ConfigError, match="the successor 'there' may be called outside the geography eu"):
        routes({"chat": {"model": "here", "successor": "there", "from": DAY}}, fenced, split, **HERE)


def test_the_table_as_people_write_it() -> None:
    config = parse(
        '[vertex]\nproject = "p"\nlocation = "global"\n[aliases]\n"gpt-4.1" = "claude-sonnet-5"\n'
        '[aliases.chat]\nmodel = "claude-opus-4-8"\nsuccessor = "claude-opus-5"\nfrom = 2026-12-01\n'
    )
    found = build_routes(config, builtin(), DAY)
    assert (served(found, "gpt-4.1"), served(found, "chat")) == ("claude-sonnet-5", "claude-opus-5")
    assert served(build_routes(config, builtin(), BEFORE), "chat") == "claude-opus-4-8"
