"""Routes from settings: where a name is served decides where prompts go, so what is unclear is an error."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, build_routes
from modelmux.errors import ModelNotFound
from modelmux.routing.resolve import Routes
from modelmux.translate.context import Options

HERE = {"project": "p", "location": "global"}
BASE = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/"

EAST = "https://us-east5-aiplatform.googleapis.com/v1/projects/q/locations/us-east5/publishers/o/models/"


def routes(*models: dict[str, Any], **vertex: Any) -> Routes:
    return build_routes(Config.from_dict({"vertex": {**vertex, "models": list(models)}}), builtin())


def places(found: Routes, name: str) -> list[tuple[str, str, str]]:
    return [(d.id, d.url, d.card.id) for d in found.find(name).deployments]


def model(**fields: Any) -> dict[str, Any]:
    return {"name": "fast", **fields}


SERVED: list[tuple[str, dict[str, Any], list[dict[str, Any]], str, list[tuple[str, str, str]]]] = [
    ("no model configured", HERE, [], "claude-opus-4-8",
     [("claude-opus-4-8@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("a first-party name", HERE, [], "claude-sonnet-4-5-20250929",
     [("claude-sonnet-4-5@global", BASE + "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929")]),
    ("a default model", {**HERE, "model": "claude-sonnet-4-5"}, [], "claude-sonnet-4-5",
     [("claude-sonnet-4-5@global", BASE + "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929")]),
    ("a default model nobody knows", {**HERE, "model": "claude-new@1"}, [], "claude-new",
     [("claude-new@global", BASE + "claude-new@1", "claude-new@1")]),
    ("an alias", HERE, [model(model="claude-haiku-4-5")], "FAST",
     [("fast@global", BASE + "claude-haiku-4-5@20251001", "claude-haiku-4-5@20251001")]),
    ("an alias of the default model", {**HERE, "model": "claude-opus-4-8"}, [model()], "fast",
     [("fast@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("a name that is the model", HERE, [model(name="claude-opus-4-8")], "claude-opus-4-8",
     [("claude-opus-4-8@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("several locations, in order", {"project": "p"}, [model(model="claude-opus-4-8", locations=["us", "global"])],
     "fast",
     [("fast@us", BASE.replace("platform", "platform.us.rep").replace("global", "us") + "claude-opus-4-8",
       "claude-opus-4-8"),
      ("fast@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("its own place", HERE, [model(model="claude-sonnet-4-5", project="q", region="us-east5", publisher="o")], "fast",
     [("fast@us-east5", EAST + "claude-sonnet-4-5@20250929", "claude-sonnet-4-5@20250929")]),
    ("location before region", {"project": "p", "region": "eu"}, [model(model="claude-opus-4-8", location="global",
                                                                        region="us")], "fast",
     [("fast@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("region alone", {"project": "p", "region": "global"}, [model(model="claude-opus-4-8")], "fast",
     [("fast@global", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("another endpoint", {**HERE, "base_url": "http://127.0.0.1:1/v1/"}, [model(model="claude-opus-4-8")], "fast",
     [("fast@global", "http://127.0.0.1:1/v1/projects/p/locations/global/publishers/anthropic/models/claude-opus-4-8",
       "claude-opus-4-8")]),
    ("a whole URL", {"url": BASE + "claude-opus-4-8:streamRawPredict"}, [], "claude-opus-4-8",
     [("claude-opus-4-8@url", BASE + "claude-opus-4-8", "claude-opus-4-8")]),
    ("a whole URL of a model by another name", {"url": "https://proxy/x:rawPredict", "model": "claude-opus-4-8"}, [],
     "claude-opus-4-8", [("claude-opus-4-8@url", "https://proxy/x", "claude-opus-4-8")]),
    ("a URL of one model", {}, [model(url=BASE + "claude-haiku-4-5@20251001")], "fast",
     [("fast@url", BASE + "claude-haiku-4-5@20251001", "claude-haiku-4-5@20251001")]),
]  # fmt: skip


@pytest.mark.parametrize(("vertex", "models", "name", "expected"), [s[1:] for s in SERVED], ids=[s[0] for s in SERVED])
def test_where_a_name_is_served(
    vertex: dict[str, Any], models: list[dict[str, Any]], name: str, expected: list[tuple[str, str, str]]
) -> None:
    assert places(routes(*models, **vertex), name) == expected


WRONG: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[str]]] = [
    ("nothing", {}, [], ["no model can be served: no Google Cloud project and location are set"]),
    ("no location", {"project": "p"}, [], ["no model can be served: no Google Cloud project and location are set"]),
    ("no project and no location", {}, [model()],
     ["vertex.models 'fast': no Google Cloud project is set", "vertex.models 'fast': no location is set"]),
    ("a region without the model", {"project": "p"},
     [model(model="claude-opus-4-8", locations=["us-east5", "eu", "x"])],
     ["vertex.models 'fast': claude-opus-4-8 is not served in us-east5; use global, us or eu",
      "vertex.models 'fast': claude-opus-4-8 is not served in x; use global, us or eu"]),
    ("one name twice", HERE, [model(), model(name="FAST"), model(name="fast")],
     ["vertex.models: the name 'fast' is used twice"]),
    ("a name like the default's", {**HERE, "model": "claude-opus-4-8"}, [model(name="claude-opus-4-8")],
     ["vertex.models: the name 'claude-opus-4-8' is used twice"]),
    ("several things", {"location": "global"}, [model(), model(name="b"), model(name="b", project="p")],
     ["vertex.models 'fast': no Google Cloud project is set", "vertex.models 'b': no Google Cloud project is set"]),
]  # fmt: skip


@pytest.mark.parametrize(("vertex", "models", "expected"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_what_cannot_be_served_is_said_at_start_all_at_once(
    vertex: dict[str, Any], models: list[dict[str, Any]], expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        routes(*models, **vertex)
    assert caught.value.problems == expected


def test_the_hint_is_given_where_it_helps() -> None:
    for fields, helps in (({}, True), ({**HERE, "model": "claude-opus-4-8", "location": "us-east5"}, False)):
        with pytest.raises(ConfigError) as caught:
            routes(**fields)
        assert ("vertex.project" in (caught.value.hint or "")) is helps


def test_unknown_names_go_to_the_default_only_if_the_operator_says_so() -> None:
    default = {**HERE, "model": "claude-opus-4-8"}
    assert places(routes(fallback_to_default=True, **default), "gpt-4o")[0][0] == "claude-opus-4-8@global"
    assert places(routes(url=BASE + "m", fallback_to_default=True), "gpt-4o")[0][0] == "m@url"
    for without in (routes(**default), routes(model(), fallback_to_default=True, **HERE)):
        with pytest.raises(ModelNotFound):
            without.find("gpt-4o")


def test_only_what_has_a_place_is_listed() -> None:
    assert routes(model(), **HERE).names == ["fast"]
    assert len(routes(**HERE).names) == len(builtin().cards)
    regional = routes(project="p", location="us-east5").names
    assert "claude-sonnet-4-5" in regional
    assert "claude-opus-4-8" not in regional
    with pytest.raises(ModelNotFound):
        routes(model(url=BASE + "m")).find("claude-opus-4-8")


def test_the_operators_choices_go_with_the_route() -> None:
    both = routes(
        model(model="claude-opus-4-8"),
        model(name="own", model="claude-haiku-4-5", forced_tool_choice="error", prefill="error", caching=True),
        forced_tool_choice="downgrade", prefill="continue", caching=False, **HERE,
    )  # fmt: skip
    assert both.find("fast").options == Options("downgrade", "continue", caching=False)
    assert both.find("own").options == Options("error", "error", caching=True)
    assert both.find("claude-sonnet-4-5").options == Options("downgrade", "continue", caching=False)
    assert routes(url=BASE + "m", caching=False).find("m").options == Options(caching=False)
