"""What a person says of their setup -> settings, refused if they could not work. No questions and no writing here."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from modelmux.catalog import builtin, normalise

#: Ids (also those with a domain) and numbers of projects.
_PROJECT: Final = re.compile(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]{0,62}")
_LOCATION: Final = re.compile(r"global|us|eu|[a-z]+-[a-z]+[0-9]+")
#: How alike a name has to be to one of the catalog to be taken for a typing error.
_ALIKE: Final = 0.8


class InvalidValue(Exception):
    """A value that could not work: what it is, and what is needed."""


class Model(NamedTuple):
    """A model to serve, under a name."""

    name: str
    id: str


def parse_project(text: str) -> str:
    """:raises BadAnswer:"""
    if not _PROJECT.fullmatch(text):
        raise InvalidValue(f"{text!r} is no project id such as my-project-123; `gcloud projects list` shows yours")
    return text


def parse_location(text: str) -> str:
    """:raises BadAnswer:"""
    if not _LOCATION.fullmatch(text):
        raise InvalidValue(f"{text!r} is no location; use global, us, eu or a region such as europe-west1")
    return text


def parse_model(text: str) -> Model:
    """``claude-sonnet-5``, or ``fast=claude-haiku-4-5`` under a name of one's own. A model the catalog does not know
    may be new, unless its name looks like a known one mistyped.

    :raises BadAnswer:
    """
    name, equals, model = text.partition("=")
    model = model.strip() if equals else name.strip()
    name = name.strip()
    if not name or not model:
        raise InvalidValue(f"{text!r} is no model; write claude-sonnet-5, or fast=claude-haiku-4-5")
    card = builtin().find(model)
    if card is not None:
        return Model(name if equals else card.base, card.id)
    known = [c.base for c in builtin().cards]
    near = difflib.get_close_matches(normalise(model), known, n=1, cutoff=_ALIKE)
    if near:
        raise InvalidValue(f"the catalog does not know {model!r}: did you mean {near[0]}?")
    return Model(name, model)


def parse_credential_file(text: str) -> str:
    """:raises BadAnswer: no file, or none of Google's."""
    path = Path(text).expanduser()
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidValue(f"{text}: cannot be read: {error.strerror}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise InvalidValue(f"{text}: it is no credential file of Google's: a JSON object with a type")
    return text if text.startswith("~") else str(path.absolute())


@dataclass
class InitOptions:
    """All of them. What is None or empty is left to its default."""

    project: str
    location: str
    models: Sequence[Model] = ()
    credentials: str | None = None
    api_key: str | None = None
    port: int | None = None

    def settings(self) -> dict[str, Any]:
        """As they stand in a configuration."""
        server: dict[str, Any] = {} if self.port is None else {"port": self.port}
        if self.api_key:
            server["api_keys"] = [self.api_key]
        vertex: dict[str, Any] = {"project": self.project, "location": self.location}
        if self.models:
            vertex["models"] = [{"name": m.name, "model": m.id} for m in self.models]
        auth = {"service_account_file": self.credentials} if self.credentials else {}
        return {name: table for name, table in {"server": server, "auth": auth, "vertex": vertex}.items() if table}
