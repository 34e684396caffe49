"""What people call the keys, teams, people and models of usage: names in filters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from modelmux.accounts.directory import Directory
from modelmux.accounts.entry import WITHOUT_RECORD
from modelmux.accounts.find import find_key, find_person, find_team
from modelmux.catalog.model_filters import with_models
from modelmux.catalog.models import Catalog
from modelmux.cli.usage.options import Where

#: Ids are told from names by this, also those of a ledger whose directory is another one.
_ID: Final = re.compile(r"(key|team|usr)_[0-9a-z]+")


def with_ids(where: Where, directory: Directory, catalog: Catalog) -> Where:
    """A filter with ids in place of names, as rows have them.

    :raises FieldError: there is no key, team or person of that name.
    """
    find: Mapping[str, Callable[[str], tuple[str, ...]]] = {
        "key": lambda text: _keys(directory, text),
        "team": lambda text: (find_team(directory, text).id,),
        "person": lambda text: (find_person(directory, text).id,),
    }

    def ids(name: str, text: str) -> tuple[str, ...]:
        return (text,) if name not in find or _ID.fullmatch(text) else find[name](text)

    return with_models(
        tuple((name, tuple(dict.fromkeys(id for text in values for id in ids(name, text)))) for name, values in where),
        lambda: catalog,
    )


def unknown_models(where: Where, catalog: Catalog) -> list[str]:
    """The models of a filter that the catalog does not have: usage is by models, and an alias is none."""
    return [text for name, values in where if name == "model" for text in values if catalog.find(text) is None]


def _keys(directory: Directory, text: str) -> tuple[str, ...]:
    """All keys of a name: one that was revoked, and the one that came after it."""
    if WITHOUT_RECORD.fullmatch(text):
        return (text,)
    wanted = text.strip().lower()
    return tuple(key.id for key in directory.keys.values() if key.name.lower() == wanted) or (
        find_key(directory, text).id,
    )
