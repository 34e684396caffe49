"""Law 10 as a table: which locations lie in a geography; unknown ones lie in none."""

from __future__ import annotations

import pytest

from modelmux.catalog import builtin, location_in_path, location_of_host, locations, project_in_path
from modelmux.routing.geography import closest_match, contains, locations_in
from modelmux.routing.model import Deployment, Route

GEOGRAPHIES: list[tuple[str, set[str], set[str]]] = [
    ("us", {"us", "us-east5", "us-central1"}, {"global", "eu", "europe-west1", "northamerica-northeast1", "us-east99"}),
    ("eu", {"eu", "europe-west1", "europe-west4", "europe-central2", "europe-southwest1"},
     {"global", "us", "us-east5", "europe-west2", "europe-west6", "europe-west99"}),
    ("europe", {"eu", "europe-west1", "europe-west2", "europe-west6"}, {"global", "us", "asia-east1"}),
    ("asia", {"asia-east1", "asia-northeast3", "asia-southeast1"}, {"australia-southeast1", "global", "us", "eu"}),
    ("asia-northeast", {"asia-northeast1", "asia-northeast3"}, {"asia-east1", "asia-southeast1"}),
    ("asia-northeast1", {"asia-northeast1"}, {"asia-northeast2"}),
    ("me", {"me-west1", "me-central1"}, {"global"}),
    ("europe-west1", {"europe-west1"}, {"europe-west12", "europe-west4"}),
    ("global", set(), {"global", "us", "eu", "us-east5"}),
    ("a", set(), {"asia-east1", "australia-southeast1", "africa-south1"}),
    ("", set(), {"global", "us", "us-east5"}),
    (".*", set(), {"global", "us", "us-east5"}),
    ("u", set(), {"us", "us-east5"}),
]  # fmt: skip


@pytest.mark.parametrize(("geography", "inside", "outside"), GEOGRAPHIES)
def test_what_lies_in_a_geography(geography: str, inside: set[str], outside: set[str]) -> None:
    facts = locations()
    assert {location for location in inside | outside if contains(geography, location, facts)} == inside
    assert inside <= set(locations_in(geography, facts))


def test_an_unknown_location_lies_in_no_geography() -> None:
    for geography in ("us", "eu", "europe", "asia"):
        assert not contains(geography, None, locations())
        assert not contains(geography, "", locations())
        assert not contains(geography, "us-moon1", locations())


def test_closest_match() -> None:
    assert closest_match(" US-EATS5", locations().names) == "us-east5"
    assert closest_match("mars", locations().names) is None


def test_a_route_allows_locations_inside_all_its_geographies() -> None:
    deployment = Deployment("d", "u", "p", "eu", builtin().cards[0])
    assert Route("r", (deployment,)).allows("anywhere at all")
    assert Route("r", (deployment,), geographies=("eu",)).allows("europe-west1")
    assert not Route("r", (deployment,), geographies=("europe", "eu")).allows("europe-west2")


URLS: list[tuple[str, str | None, str | None, str | None]] = [
    ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/a/models/m", "global", "global", "p"),
    ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/x", "us-east5", "us-east5", "p"),
    ("https://aiplatform.eu.rep.googleapis.com/v1/projects/p%20q/locations/eu/x", "eu", "eu", "p q"),
    ("https://US-east5-aiplatform.googleapis.com:443/v1/projects/p/locations/europe%2Dwest1/x", "us-east5",
     "europe-west1", "p"),
    ("https://proxy.example/v1/projects/p/locations/eu/x?locations=us", None, "eu", "p"),
    ("https://us-east5-aiplatform.googleapis.com.evil.example/x", None, None, None),
    ("https://aiplatform.googleapis.com@proxy.example/x", None, None, None),
    ("https://proxy.example/?u=/projects/p/locations/eu/", None, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("url", "host", "path", "project"), URLS)
def test_location_and_project_in_a_url(url: str, host: str | None, path: str | None, project: str | None) -> None:
    assert (location_of_host(url), location_in_path(url), project_in_path(url)) == (host, path, project)
