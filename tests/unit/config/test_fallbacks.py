"""Fallbacks in a configuration: every mistake is reported at once, with its remedy, before a request could hit it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, build_routes
from modelmux.routing.routes import Routes

HERE = {"project": "p", "location": "global"}
SONNET, HAIKU, OPUS = "claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"


def routes(*models: dict[str, Any], aliases: dict[str, Any] | None = None, **settings: Any) -> Routes:
    vertex = {**HERE, **settings.pop("vertex", {}), "models": list(models)}
    config = Config.from_dict({"vertex": vertex, "aliases": aliases or {}, **settings})
    return build_routes(config, builtin(), date(2026, 12, 1))


def smart(*fallbacks: str, **fields: Any) -> dict[str, Any]:
    return {"name": "smart", "model": SONNET, "fallbacks": list(fallbacks), **fields}


def served(found: Routes, name: str = "smart") -> list[str]:
    return [deployment.id for deployment in found.find(name).deployments]


def test_fallbacks_are_tried_after_the_deployments_of_the_name() -> None:
    second = {"name": "second", "model": OPUS, "locations": ["eu", "us"]}
    found = routes(smart("Second", HAIKU, "gpt", locations=["eu", "us"]), second, aliases={"gpt": "claude-opus-5"})
    assert served(found) == [
        "smart@eu",
        "smart@us",
        "second@eu",
        "second@us",
        f"{HAIKU}@global",
        "claude-opus-5@global",
    ]
    assert [d.order for d in found.find("smart").deployments] == [0, 1, 2, 3, 4, 5]
    assert {d.url for d in found.find("smart").deployments} <= {d.url for d in found.deployments}


def test_deployments_of_several_models_have_ids_that_tell_them_apart() -> None:
    deployments = [{"weight": 3}, {"model": OPUS}, {"model": OPUS, "location": "eu"}, {"location": "eu"}]
    found = routes(smart(deployments=deployments))
    assert served(found) == ["smart@global", f"smart/{OPUS}@global", f"smart/{OPUS}@eu", "smart@eu"]
    url = "https://proxy.example/v1/projects/p/locations/eu/publishers/anthropic/models/claude-opus-4-8"
    assert served(routes(smart(deployments=[{}, {"url": url, "model": OPUS}]))) == ["smart@global", f"smart/{OPUS}@url"]


def test_only_deployments_inside_the_geography_of_the_name_are_used() -> None:
    second = {"name": "second", "model": OPUS, "locations": ["us", "eu", "global"]}
    assert served(routes(smart("second", location="eu", geography="eu"), second)) == ["smart@eu", "second@eu"]
    by_host = {"name": "second", "model": OPUS, "deployments": [{"location": "eu"}, {"url": (
        "https://aiplatform.us.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models/claude-opus-4-8"
    )}]}  # fmt: skip
    assert served(routes(smart("second", location="eu", geography="eu"), by_host)) == ["smart@eu", "second@eu"]


def test_without_retries_there_are_no_fallbacks() -> None:
    assert served(routes(smart(HAIKU), retries={"max": 0})) == ["smart@global"]
    assert served(routes(smart(HAIKU), retries={"max": 1})) == ["smart@global", f"{HAIKU}@global"]
    with pytest.raises(ConfigError, match="nothing is served as"):
        routes(smart("nothing"), retries={"max": 0})


SELF = "vertex.models 'smart' fallbacks: {!r} is the model itself; use the name of another one"
USELESS = "vertex.models 'smart' fallbacks: all deployments of {!r} are already tried before it; remove the fallback"
SECOND = {"name": "second", "model": OPUS, "location": "us"}
PROBLEMS: list[tuple[str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("unknown names", smart("secnd", "nothing like it", "claude-haiku-4-6"), {}, [
        "vertex.models 'smart' fallbacks: nothing is served as 'secnd'; did you mean 'second'?",
        "vertex.models 'smart' fallbacks: nothing is served as 'nothing like it'",
        "vertex.models 'smart' fallbacks: nothing is served as 'claude-haiku-4-6'; did you mean 'claude-haiku-4-5'?",
    ]),
    ("its own name is not suggested", smart("smartt"), {}, [
        "vertex.models 'smart' fallbacks: nothing is served as 'smartt'",
    ]),
    ("itself", smart("Smart", "best", aliases=["best"]), {}, [SELF.format("Smart"), SELF.format("best")]),
    ("itself by another name", smart("gpt"), {"gpt": "smart"}, [USELESS.format("gpt")]),
    ("itself by the name of its model", smart(SONNET), {}, [USELESS.format(SONNET)]),
    ("twice", smart(HAIKU, "second", "SECOND"), {}, [
        "vertex.models 'smart' fallbacks: 'SECOND' is listed twice; remove one",
    ]),
    ("twice by another name", smart("second", "gpt"), {"gpt": "second"}, [USELESS.format("gpt")]),
    ("outside", smart("second", HAIKU, location="eu", geography="eu"), {}, [
        ("vertex.models 'smart' fallbacks: every deployment of 'second' is outside the geography eu; add one inside, "
         "or remove the fallback"),
        ("vertex.models 'smart' fallbacks: every deployment of 'claude-haiku-4-5' is outside the geography eu; add one "
         "inside, or remove the fallback"),
    ]),
    ("outside from a day on", smart("gpt", location="eu", geography="eu"),
     {"gpt": {"model": "europe", "successor": "second", "from": date(2027, 1, 1)},
      "europe": "third"}, [
        ("vertex.models 'smart' fallbacks: every deployment of 'gpt' is outside the geography eu; add one inside, "
         "or remove the fallback"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("model", "aliases", "expected"), [p[1:] for p in PROBLEMS], ids=[p[0] for p in PROBLEMS])
def test_problems(model: dict[str, Any], aliases: dict[str, Any], expected: list[str]) -> None:
    third = {"name": "third", "model": OPUS, "location": "eu"}
    with pytest.raises(ConfigError) as caught:
        routes(model, SECOND, third, aliases=aliases)
    assert caught.value.problems == expected


def test_a_model_of_the_catalog_that_is_not_served_there() -> None:
    with pytest.raises(ConfigError) as caught:
        routes(smart(OPUS, location="europe-west1"), vertex={"location": "us-east5"})
    (problem,) = caught.value.problems
    assert problem.startswith("vertex.models 'smart' fallbacks: claude-opus-4-8 is not served in us-east5, the common")


def test_a_fallback_that_is_a_broken_alias_is_reported_for_the_alias() -> None:
    with pytest.raises(ConfigError) as caught:
        routes(smart("gpt"), aliases={"gpt": "nothing like it"})
    assert caught.value.problems == ["aliases.gpt: nothing is served as 'nothing like it'"]
