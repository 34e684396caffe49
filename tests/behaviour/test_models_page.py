"""Risk: a client cannot read the list of models, or offers its users one that is not served."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from anthropic.types import ModelInfo
from openai.types import Model

from modelmux.app import Gateway
from modelmux.catalog import builtin
from support.asgi import Response, request
from support.clock import TODAY
from support.fakes import FakeUpstream
from support.gateway import gateway

ANTHROPIC = {"anthropic-version": "2023-06-01"}
LAUNCH = int(datetime(2026, 5, 28, tzinfo=UTC).timestamp())


def app(**settings: Any) -> Gateway:
    models = [
        {"name": "Smart", "model": "claude-opus-4-8", "aliases": ["gw-opus"]},
        {"name": "old", "model": "claude-opus-4-5"},
        {"name": "new", "model": "claude-tomorrow"},
    ]
    vertex = {"models": models}
    return gateway(FakeUpstream([]), vertex=vertex, aliases={"gpt-4o": "smart"}, **settings)


async def get(path: str = "/v1/models", headers: dict[str, str] | None = None, **settings: Any) -> Response:
    """``path`` may hold a query."""
    application, (bare, _, query) = app(**settings), path.partition("?")

    async def with_query(scope: Any, receive: Any, send: Any) -> None:
        await application({**scope, "query_string": query.encode()}, receive, send)

    return await request(with_query, "GET", bare, b"", headers)


async def test_openais_clients_get_names_aliases_and_days() -> None:
    page = (await get()).json()
    assert page["object"] == "list"
    assert [model["id"] for model in page["data"]] == ["Smart", "old", "new", "gw-opus", "gpt-4o"]
    models = {model["id"]: Model.model_validate(model, strict=True) for model in page["data"]}
    assert models["Smart"].created == models["gpt-4o"].created == LAUNCH
    assert models["new"].created == 1_704_067_200, "without a known launch date: the same at every start"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/smart"])
async def test_anthropics_clients_find_the_id_of_the_request(path: str) -> None:
    response = await get(path, ANTHROPIC)
    assert response.headers["request-id"] == response.headers["x-request-id"]
    assert "request-id" not in (await get(path)).headers


@pytest.mark.parametrize(
    "headers", [ANTHROPIC, {"x-api-key": "k"}, {**ANTHROPIC, "authorization": "Bearer k"}]
)  # fmt: skip
async def test_anthropics_clients_get_their_own_shape(headers: dict[str, str]) -> None:
    page = (await get(headers=headers)).json()
    assert {key: page[key] for key in page if key != "data"} == {
        "has_more": False, "first_id": "Smart", "last_id": "gpt-4o",
    }  # fmt: skip
    models = {model["id"]: ModelInfo.model_validate(model) for model in page["data"]}
    assert list(models) == ["Smart", "old", "new", "gw-opus", "gpt-4o"]
    assert models["Smart"].created_at == datetime(2026, 5, 28, tzinfo=UTC)
    assert (models["Smart"].max_input_tokens, models["Smart"].max_tokens) == (1_000_000, 128_000)
    assert (models["Smart"].lifecycle, models["Smart"].retires_at) == ("active", None)
    assert (models["old"].lifecycle, models["old"].retires_at) == ("deprecated", datetime(2027, 1, 22, tzinfo=UTC))
    assert models["new"].created_at.year == 1970


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer k"}, {"x-api-key": "k", "authorization": "Bearer k"}]
)
async def test_everybody_else_gets_openais(headers: dict[str, str]) -> None:
    assert (await get(headers=headers)).json()["object"] == "list"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("smart", "Smart"), ("SMART", "Smart"), ("GW-Opus", "gw-opus"), ("gpt-4o", "gpt-4o"),
     ("claude-sonnet-5", "claude-sonnet-5"), ("anthropic/claude-sonnet-5", "anthropic/claude-sonnet-5")],
)  # fmt: skip
async def test_one_model_by_any_of_its_names(name: str, shown: str) -> None:
    for prefix in ("/v1/models", "/models"):
        assert (await get(f"{prefix}/{name}")).json()["id"] == shown
        assert (await get(f"{prefix}/{name}", ANTHROPIC)).json()["id"] == shown


async def test_an_unknown_model_is_an_error_in_the_clients_dialect() -> None:
    theirs, ours = await get("/v1/models/smrt", ANTHROPIC), await get("/v1/models/smrt")
    message = "The model 'smrt' does not exist here. Did you mean 'Smart'?"
    request_id = theirs.headers["request-id"]
    assert (theirs.status, theirs.json()) == (
        404,
        {"type": "error", "error": {"type": "not_found_error", "message": message}, "request_id": request_id},
    )
    assert (ours.status, ours.json()["error"]["message"], ours.json()["error"]["code"]) == (
        404,
        message,
        "model_not_found",
    )


PAGES: list[tuple[str, list[str], bool]] = [
    ("limit=2", ["Smart", "old"], True),
    ("limit=2&after_id=old", ["new", "gw-opus"], True),
    ("limit=2&after_id=gw-opus", ["gpt-4o"], False),
    ("limit=5", ["Smart", "old", "new", "gw-opus", "gpt-4o"], False),
    ("limit=1000", ["Smart", "old", "new", "gw-opus", "gpt-4o"], False),
    ("after_id=gpt-4o", [], False),
    ("limit=2&before_id=gw-opus", ["old", "new"], True),
    ("limit=2&before_id=new", ["Smart", "old"], False),
    ("before_id=Smart", [], False),
]


@pytest.mark.parametrize(("query", "ids", "more"), PAGES)
async def test_a_list_in_pages(query: str, ids: list[str], more: bool) -> None:
    page = (await get(f"/v1/models?{query}", ANTHROPIC)).json()
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (ids, more)
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many", "limit=-1", "limit=%C2%B2", "after_id=nobody",
                                   "before_id=nobody", f"limit={'9' * 5000}"])  # fmt: skip
async def test_an_invalid_page_is_an_error(query: str) -> None:
    response = await get(f"/v1/models?{query}", ANTHROPIC)
    assert (response.status, response.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (await get(f"/v1/models?{query}")).status == 200, "OpenAI's list has no pages"


async def test_without_a_list_of_models_the_catalog_is_listed_and_aliases_with_it() -> None:
    listed = gateway(FakeUpstream([]), aliases={"gw-sonnet": "claude-sonnet-5"})
    ids = [model["id"] for model in (await request(listed, "GET", "/v1/models")).json()["data"]]
    assert ids == [*(card.base for card in builtin().cards if not card.is_retired(TODAY)), "gw-sonnet"]


async def test_a_missing_key_is_an_error_in_both_dialects() -> None:
    for headers in (ANTHROPIC, {}):
        assert (await get(headers=headers, server={"api_keys": ["k"]})).status == 401
    assert (await get(headers={"x-api-key": "k"}, server={"api_keys": ["k"]})).json()["first_id"] == "Smart"
