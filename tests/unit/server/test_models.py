"""Risk: a client that cannot read the model list, one that is offered what is not served."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from modelmux.catalog import Catalog, ModelCard, builtin
from modelmux.dialects.base import Caller
from modelmux.dialects.registry import ANTHROPIC_MESSAGES, OPENAI_CHAT, Surface
from modelmux.errors import ModelNotFound
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.routing.aliases import Alias
from modelmux.routing.model import Deployment, Route
from modelmux.routing.routes import Routes
from modelmux.server.models import ModelList, is_anthropic_client
from modelmux.server.pages import model_list_handler

CARD = replace(builtin().card("claude-opus-4-8"), released_on=date(2026, 5, 28))
UNDATED = replace(CARD, id="claude-tomorrow", released_on=None)
STARTED = 1_800_000_000


def model_list() -> ModelList:
    routes = [
        Route(name, (Deployment(name, name, "p", "eu", card),)) for name, card in (("Smart", CARD), ("new", UNDATED))
    ]
    aliases = [Alias("gpt-4o", "Smart")]
    return ModelList(DatedRoutes(Routes(routes, catalog=Catalog([CARD]), aliases=aliases), lambda: STARTED))


def body(dialect: Any = OPENAI_CHAT, query: bytes = b"", **params: str) -> Any:
    return json.loads(model_list().body(dialect, params, query))


def test_the_list_has_names_and_aliases_with_the_models_day() -> None:
    page = body()
    assert [model["id"] for model in page["data"]] == ["Smart", "new", "gpt-4o"]
    assert [model["created"] for model in page["data"]] == [1_779_926_400, 1_704_067_200, 1_779_926_400]


TODAY = datetime(2027, 5, 28, tzinfo=UTC).timestamp()


def shown(name: str, card: ModelCard, now: float = TODAY, entry: str | None = None) -> Any:
    """A list with one model, in Anthropic's shape, or an entry."""
    route = Route(name, (Deployment(name, name, "p", "eu", card),))
    models = ModelList(DatedRoutes(Routes([route], catalog=Catalog([card])), lambda: now))
    return json.loads(models.body(ANTHROPIC_MESSAGES, {"name": entry} if entry else {}, b""))


def test_both_shapes_have_the_limits() -> None:
    ours, theirs = body(name="Smart"), body(ANTHROPIC_MESSAGES, name="Smart")
    assert {ours[key] for key in ("context_window", "context_length", "max_model_len")} == {CARD.context_window}
    assert {ours[key] for key in ("max_output_tokens", "max_completion_tokens")} == {CARD.max_output}
    assert (theirs["max_input_tokens"], theirs["max_tokens"]) == (CARD.context_window, CARD.max_output)


@pytest.mark.parametrize(
    ("name", "display_name"),
    [("claude-opus-4-8", "Claude Opus 4.8"), ("Claude-Opus-4-8", "Claude Opus 4.8"), ("fast", "fast")],
)
def test_the_catalogs_own_name_is_shown_as_people_write_it(name: str, display_name: str) -> None:
    assert shown(name, CARD)["data"][0]["display_name"] == display_name
    assert shown(name, replace(CARD, display_name=""))["data"][0]["display_name"] == name


def test_a_model_is_deprecated_once_its_retirement_is_near_and_not_before() -> None:
    retiring = replace(CARD, retires_on=date(2027, 7, 27))
    (before,) = shown("m", retiring, TODAY - 1)["data"]
    assert (before["lifecycle"], before["deprecated_at"], before["retires_at"]) == ("active", None, None)
    (after,) = shown("m", retiring)["data"]
    assert (after["lifecycle"], after["deprecated_at"], after["retires_at"]) == (
        "deprecated", "2027-05-28T00:00:00Z", "2027-07-27T00:00:00Z",
    )  # fmt: skip


def test_a_retired_model_is_not_listed_but_can_be_looked_up() -> None:
    retired = replace(CARD, retires_on=None, retired_on=date(2027, 5, 28))
    assert [model["id"] for model in shown("Old", retired, TODAY - 1)["data"]] == ["Old"]
    assert shown("Old", retired)["data"] == []
    entry = shown("Old", retired, entry="old")
    assert (entry["id"], entry["lifecycle"], entry["retires_at"]) == ("Old", "retired", "2027-05-28T00:00:00Z")


@pytest.mark.parametrize("name", ["Smart", "smart", "SMART"])
def test_one_entry_has_the_name_that_is_listed(name: str) -> None:
    assert body(name=name)["id"] == "Smart"


def test_one_entry_of_an_alias_and_of_another_spelling() -> None:
    assert body(name="GPT-4o")["id"] == "gpt-4o"
    assert body(ANTHROPIC_MESSAGES, name="new")["id"] == "new"


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        body(name="unknown")


def test_the_query_is_the_dialects() -> None:
    page = body(ANTHROPIC_MESSAGES, b"limit=1&after_id=Smart")
    assert ([model["id"] for model in page["data"]], page["has_more"]) == (["new"], True)
    assert len(body(OPENAI_CHAT, b"limit=1")["data"]) == 3


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False), ({b"authorization": b"Bearer k"}, False), ({b"x-api-key": b"k"}, True),
        ({b"x-api-key": b"k", b"authorization": b"Bearer k"}, False), ({b"anthropic-version": b"2023-06-01"}, True),
        ({b"anthropic-version": b"2023-06-01", b"authorization": b"Bearer k"}, True),
    ],
)  # fmt: skip
def test_which_client_is_anthropics(headers: dict[bytes, bytes], expected: bool) -> None:
    assert is_anthropic_client(headers) is expected


@pytest.mark.parametrize("both", [True, False])
async def test_the_handler_answers_in_the_clients_dialect(both: bool) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError

    surface = Surface("GET", "/models", "list_models", anthropic_dialect=ANTHROPIC_MESSAGES if both else None)
    scope = {"headers": [(b"anthropic-version", b"2023-06-01")], "query_string": b""}
    await model_list_handler(surface, model_list())(scope, receive, send, "req_1", Caller(), {})
    assert (b"x-request-id", b"req_1") in sent[0]["headers"]
    assert ("has_more" in json.loads(sent[1]["body"])) is both
