"""Values typed by a person -> settings, rejected if they could not work. Not in this module: prompts, writing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from modelmux.catalog import builtin
from modelmux.config.home import expand_user

#: Project ids (also with a domain) and project numbers.
_PROJECT: Final = re.compile(r"([a-z0-9.-]+:)?[a-z0-9][a-z0-9-]{0,62}")
_LOCATION: Final = re.compile(r"global|us|eu|[a-z]+-[a-z]+[0-9]+")


class InvalidValue(Exception):
    """A value that could not work: what is wrong with it, and what is needed."""


class Model(NamedTuple):
    """A model to serve, and its name for clients."""

    name: str
    id: str


def parse_project(text: str) -> str:
    """:raises InvalidValue:"""
    if not _PROJECT.fullmatch(text):
        raise InvalidValue(f"{text!r} is not a valid project id (example: my-project-123); see `gcloud projects list`")
    return text


def parse_location(text: str) -> str:
    """:raises InvalidValue:"""
    if not _LOCATION.fullmatch(text):
        raise InvalidValue(f"{text!r} is not a location; use global, us, eu or a region such as europe-west1")
    return text


def parse_model(text: str) -> Model:
    """``claude-sonnet-5``, or ``fast=claude-haiku-4-5`` to choose its name. A model that is not in the catalog may be
    new, unless its name looks like a typing error.

    :raises InvalidValue:
    """
    name, equals, model = text.partition("=")
    model = model.strip() if equals else name.strip()
    name = name.strip()
    if not name or not model:
        raise InvalidValue(f"{text!r} is not a model; write claude-sonnet-5, or fast=claude-haiku-4-5")
    card = builtin().find(model)
    if card is not None:
        return Model(name if equals else card.base, card.id)
    nearest = builtin().nearest(model)
    if nearest is not None:
        raise InvalidValue(f"{model!r} is not in the catalog: did you mean {nearest}?")
    return Model(name, model)


def parse_credential_file(text: str) -> str:
    """:raises InvalidValue: it cannot be read, or is not a credential file."""
    path = expand_user(text)
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidValue(f"{text}: cannot be read: {error.strerror}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("type"), str):
        raise InvalidValue(f"{text}: not a Google credential file (a JSON object with a type)")
    return text if text.startswith("~") else str(path.absolute())


@dataclass
class InitOptions:
    """The values for a new configuration. None or empty: the default."""

    project: str
    location: str
    models: Sequence[Model] = ()
    credentials: str | None = None
    api_key: str | None = None
    port: int | None = None

    def settings(self) -> dict[str, Any]:
        """As the tables of a configuration."""
        server: dict[str, Any] = {} if self.port is None else {"port": self.port}
        if self.api_key:
            server["api_keys"] = [self.api_key]
        vertex: dict[str, Any] = {"project": self.project, "location": self.location}
        if self.models:
            vertex["models"] = [{"name": m.name, "model": m.id} for m in self.models]
        auth = {"service_account_file": self.credentials} if self.credentials else {}
        return {name: table for name, table in {"server": server, "auth": auth, "vertex": vertex}.items() if table}
