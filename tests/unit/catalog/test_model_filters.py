"""Risk: usage of a model is asked for by the name that clients send, and the answer is that there was none."""

from __future__ import annotations

from modelmux.catalog.model_filters import with_models
from modelmux.catalog.models import Catalog, builtin


def test_every_name_of_a_model_finds_its_rows() -> None:
    for name in ("claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude-haiku-4.5"):
        (found,) = with_models((("model", (name, "mine")),), builtin)
        assert found == ("model", (name, "claude-haiku-4-5@20251001", "mine"))


def test_other_filters_stay_and_need_no_catalog() -> None:
    def no_catalog() -> Catalog:
        raise AssertionError

    where = (("key", ("claude-haiku-4-5",)), ("tag:app", ("chat",)))
    assert with_models(where, no_catalog) is where
    assert with_models((*where, ("model", ("mine",))), builtin) == (*where, ("model", ("mine",)))
