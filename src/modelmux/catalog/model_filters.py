"""Filters by model: rows have the id of Vertex AI, and people write any of a model's names."""

from __future__ import annotations

from collections.abc import Callable

from modelmux.catalog.models import Catalog


def with_models(
    where: tuple[tuple[str, tuple[str, ...]], ...], catalog: Callable[[], Catalog]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """A filter with the ids of models beside what was written, which rows of unknown models have.

    :param where: dimension -> the values that count. :param catalog: called where the filter names a model.
    """
    if all(name != "model" for name, _ in where):
        return where
    models = catalog()
    return tuple(
        (name, tuple(dict.fromkeys(id for text in values for id in (text, models.card(text).id))))
        if name == "model"
        else (name, values)
        for name, values in where
    )
