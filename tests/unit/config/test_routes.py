"""Routes from settings: where a name is served decides where prompts go, so what is unclear is an error."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.claude.options import Options
from modelmux.config import Config, ConfigError, build_routes
from modelmux.errors import ModelNotFound
from modelmux.routing.routes import Routes

HERE = {"project": "p", "location": "global"}
DAY = date(2026, 12, 1)
BASE = "https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models/"

EAST = "https://us-east5-aiplatform.googleapis.com/v1/projects/q/locations/us-east5/publishers/o/models/"


def routes(*models: dict[str, Any], **vertex: Any) -> Routes:
    return build_routes(Config.from_dict({"vertex": {**vertex, "models": list(models)}}), builtin(), DAY)


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
    ("region and location that differ, as in the 1.x program", {"project": "p", "region": "eu"},
     [model(model="claude-opus-4-8", location="global", region="us")], "fast",
     [("fast@global", BASE.replace("platform", "platform.us.rep") + "claude-opus-4-8", "claude-opus-4-8")]),
    ("one of the two sets both", {"project": "p", "region": "eu", "location": "eu"},
     [model(model="claude-opus-4-8", region="global")], "fast",
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
    ("two models under one name", HERE,
     [model(model="claude-opus-4-8", deployments=[{}, {"model": "claude-opus-5", "order": 1}])], "fast",
     [("fast@global", BASE + "claude-opus-4-8", "claude-opus-4-8"),
      ("fast/claude-opus-5@global", BASE + "claude-opus-5", "claude-opus-5")]),
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
    ("no location", {"project": "p"}, [], ["no model can be served: no location is set"]),
    ("no project", {"location": "global"}, [], ["no model can be served: no Google Cloud project is set"]),
    ("no project and no location", {}, [model()],
     ["vertex.models 'fast': no Google Cloud project is set", "vertex.models 'fast': no location is set"]),
    ("a region without the model", {"project": "p"},
     [model(model="claude-opus-4-8", locations=["us-east5", "eu", "x"])],
     ["vertex.models 'fast': claude-opus-4-8 is not served in us-east5; use global, us or eu",
      "vertex.models 'fast': 'x' is not a location of Vertex AI; use global, us or eu"]),
    ("one name twice", HERE, [model(), model(name="FAST"), model(name="fast")],
     ["vertex.models: the name 'fast' is used twice"]),
    ("a name like the default's", {**HERE, "model": "claude-opus-4-8"}, [model(name="claude-opus-4-8")],
     ["vertex.models: the name 'claude-opus-4-8' is used twice"]),
    ("several things", {"location": "global"}, [model(), model(name="b"), model(name="b", project="p")],
     ["vertex.models 'fast': no Google Cloud project is set", "vertex.models 'b': no Google Cloud project is set",
      "vertex.models: the name 'b' is used twice"]),
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


GEO = {"project": "p", "location": "eu"}
ELSEWHERE = "https://gate.example/v1/models/claude-opus-4-8"

MISPLACED: list[tuple[str, dict[str, Any], list[dict[str, Any]], list[str]]] = [
    ("a typing error in the common place, once", {"project": "p", "location": "us-eats5"}, [model(), model(name="b")],
     ["vertex.location: 'us-eats5' is not a location of Vertex AI; did you mean 'us-east5'?"]),
    ("the same as a region", {"project": "p", "region": "moon"}, [],
     ["vertex.region: 'moon' is not a location of Vertex AI; use global, us, eu or a region such as europe-west1"]),
    ("a typing error of a model's own", HERE, [model(model="claude-sonnet-4-6", location="europe-wset1")],
     ["vertex.models 'fast': 'europe-wset1' is not a location of Vertex AI; did you mean 'europe-west1'?"]),
    ("a region that does not serve it", HERE, [model(model="claude-sonnet-4-6", location="europe-west4")],
     [("vertex.models 'fast': claude-sonnet-4-6 is not served in europe-west4; use global, us, eu, us-east5, "
       "europe-west1 or asia-southeast1")]),
    ("no region is suggested that does not serve it", HERE, [model(model="claude-opus-4-8", location="us-eats5")],
     ["vertex.models 'fast': 'us-eats5' is not a location of Vertex AI; use global, us or eu"]),
    ("the host is checked too", HERE, [model(model="claude-opus-4-8", location="us", region="us-east5")],
     ["vertex.models 'fast': claude-opus-4-8 is not served in us-east5; use global, us or eu"]),
    ("a URL of Google's", {}, [model(url=EAST.replace("/o/", "/anthropic/") + "claude-opus-4-8")],
     ["vertex.models 'fast': claude-opus-4-8 is not served in us-east5; use global, us or eu"]),
    ("each of several deployments", HERE,
     [model(model="claude-opus-4-8", deployments=[{"location": "us-east5"}, {"location": "eu"}, {"location": "eeu"}])],
     ["vertex.models 'fast' deployments[0]: claude-opus-4-8 is not served in us-east5; use global, us or eu",
      "vertex.models 'fast' deployments[2]: 'eeu' is not a location of Vertex AI; did you mean 'eu'?"]),
    ("two lists of places", HERE, [model(locations=["eu"], url=BASE + "m", deployments=[{"location": "us"}]),
                                   model(name="b", locations=["eu"], url=BASE + "m")],
     ["vertex.models 'fast': url and deployments are both set; remove one",
      "vertex.models 'fast': locations and deployments are both set; remove one",
      "vertex.models 'b': locations and url are both set; remove one"]),
    ("a place outside", {**GEO, "geography": "eu"}, [model(model="claude-tomorrow", locations=["eu", "us-east5"])],
     [("vertex.models 'fast': us-east5 is outside the geography eu; use eu, europe-central2, europe-north1, "
      "europe-southwest1 or another of its regions")]),
    ("global lies in none", GEO, [model(model="claude-opus-4-8", geography="us", location="global")],
     ["vertex.models 'fast': global is outside the geography us; use us"]),
    ("a model's own beside the common one", {**GEO, "geography": "eu"},
     [model(model="claude-opus-4-8", geography="us", location="us")],
     ["vertex.models 'fast': us is outside the geography eu; use eu"]),
    ("a model that no place of it serves", GEO,
     [model(model="claude-opus-4-8", geography="asia", location="global")],
     [("vertex.models 'fast': global is outside the geography asia; use another model: no location in it serves "
      "this one")]),
    ("the models without an entry", {**HERE, "geography": "us"}, [model(location="us", model="claude-opus-4-8")],
     [("vertex.geography: models without an entry are served from global, which is outside the "
      "geography us; set vertex.location to us, us-central1, us-east1, us-east4 or another of its regions")]),
    ("the host lies outside", {"project": "p"},
     [model(model="claude-tomorrow", geography="eu", location="eu", region="us")],
     [("vertex.models 'fast': us is outside the geography eu; use eu, europe-central2, europe-north1, "
      "europe-southwest1 or another of its regions")]),
    ("a URL that says nothing of its place", {}, [model(url=ELSEWHERE, geography="eu")],
     [("vertex.models 'fast': the geography eu is declared, but its URL names no location; set the complete "
      "resource URL")]),
    ("a URL with a place outside", {}, [model(url=BASE + "claude-opus-4-8", geography="eu")],
     ["vertex.models 'fast': global is outside the geography eu; use eu"]),
    ("words that are no geography", {**GEO, "geography": "erope"}, [model(geography="global"),
                                                                   model(name="b", geography="uss")],
     ["vertex.geography: 'erope' is not a geography; did you mean 'europe'?",
      "vertex.models 'fast': 'global' is not a geography; use us, eu or a prefix of region names, such as asia",
      "vertex.models 'b': 'uss' is not a geography; did you mean 'us'?"]),
]  # fmt: skip


@pytest.mark.parametrize(("vertex", "models", "expected"), [w[1:] for w in MISPLACED], ids=[w[0] for w in MISPLACED])
def test_a_place_that_cannot_be_right_is_said_with_what_would_be(
    vertex: dict[str, Any], models: list[dict[str, Any]], expected: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        routes(*models, **vertex)
    assert caught.value.problems == expected


def test_what_lies_inside_is_served_and_bears_its_fence() -> None:
    inside = routes(
        model(model="claude-sonnet-4-6", geography="europe", locations=["eu", "europe-west1"]),
        model(name="tokyo", model="claude-tomorrow", geography="eu", url=EAST.replace("us-east5", "europe-west4")),
        geography="eu", **GEO,
    )  # fmt: skip
    assert inside.find("fast").geographies == ("eu", "europe")
    assert inside.find("claude-opus-5").geographies == ("eu",)
    assert inside.find("fast").allows("europe-west9")
    assert not inside.find("fast").allows("europe-west2")
    assert not inside.find("claude-opus-5").allows("global")


def test_a_private_endpoint_is_where_its_path_says() -> None:
    settings = {"project": "p", "location": "eu", "base_url": "https://vertex.internal", "geography": "eu"}
    assert routes(**settings).find("claude-opus-5").deployments[0].url.startswith("https://vertex.internal/v1/projects")
    with pytest.raises(ConfigError) as caught:
        routes(**{**settings, "base_url": "https://us-east5-aiplatform.googleapis.com"}, model="claude-opus-5")
    assert all("us-east5, which is outside" in p or "us-east5 is outside" in p for p in caught.value.problems)
    assert len(caught.value.problems) == 2


def test_deployments_inherit_what_they_leave_out_and_are_told_apart() -> None:
    found = routes(
        model(
            model="claude-sonnet-4-6", project="q", location="eu",
            deployments=[{}, {"project": "r", "weight": 3}, {"location": "us-east5", "order": 1}, {"url": EAST + "x"}],
        ),
        **HERE,
    ).find("fast")  # fmt: skip
    assert [(d.id, d.project, d.location, d.weight, d.order) for d in found.deployments] == [
        ("fast@eu", "q", "eu", 1, 0), ("fast@eu#2", "r", "eu", 3, 0), ("fast@us-east5", "q", "us-east5", 1, 1),
        ("fast@url", "q", "us-east5", 1, 0),
    ]  # fmt: skip
    assert found.deployments[2].url.startswith("https://us-east5-aiplatform.googleapis.com/v1/projects/q/")


def test_an_operators_card_may_know_newer_regions_than_we_do() -> None:
    cards = [{"id": "claude-opus-4-8", "regional": True, "regions": ["europe-west99"]}]
    vertex = {"project": "p", "location": "europe-west99", "model": "claude-opus-4-8"}
    config = Config.from_dict({"vertex": vertex, "catalog": cards})
    assert (
        build_routes(config, config.build_catalog(), DAY).find("claude-opus-4-8").deployments[0].location[-2:] == "99"
    )
    with pytest.raises(ConfigError) as caught:
        config = Config.from_dict({"vertex": {**vertex, "location": "us-east5"}, "catalog": cards})
        build_routes(config, config.build_catalog(), DAY)
    assert caught.value.problems[0].endswith("not served in us-east5; use global, us, eu or europe-west99")


def test_unknown_names_go_to_the_default_only_if_the_operator_says_so() -> None:
    default = {**HERE, "model": "claude-opus-4-8"}
    assert places(routes(default_for_unknown_models=True, **default), "gpt-4o")[0][0] == "claude-opus-4-8@global"
    assert places(routes(url=BASE + "m", default_for_unknown_models=True), "gpt-4o")[0][0] == "m@url"
    for without in (routes(**default), routes(model(), default_for_unknown_models=True, **HERE)):
        with pytest.raises(ModelNotFound):
            without.find("gpt-4o")


def test_only_what_has_a_place_is_listed() -> None:
    assert routes(model(), **HERE).default_names == ["fast"]
    assert routes(**HERE).default_names == [card.base for card in builtin().cards if not card.is_retired(DAY)]
    regional = routes(project="p", location="us-east5").default_names
    assert "claude-sonnet-4-5" in regional
    assert "claude-opus-4-8" not in regional
    with pytest.raises(ModelNotFound):
        routes(model(url=BASE + "m")).find("claude-opus-4-8")


def test_the_operators_choices_go_with_the_route() -> None:
    both = routes(
        model(model="claude-opus-4-8"),
        model(name="own", model="claude-haiku-4-5", forced_tool_choice="error", prefill="error", prompt_caching=True),
        forced_tool_choice="downgrade", prefill="continue", prompt_caching=False, **HERE,
    )  # fmt: skip
    assert both.find("fast").options == Options("downgrade", "continue", caching=False)
    assert both.find("own").options == Options("error", "error", caching=True)
    assert both.find("claude-sonnet-4-5").options == Options("downgrade", "continue", caching=False)
    assert routes(url=BASE + "m", prompt_caching=False).find("m").options == Options(caching=False)
