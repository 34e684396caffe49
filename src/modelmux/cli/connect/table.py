"""The table of clients, ``clients.toml``, as structs. The head of that file explains the fields. No decisions."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final, Literal

import msgspec
from msgspec import Struct

#: The APIs that clients speak, and the names of the modes of ``--mode``.
Api = Literal["messages", "chat", "responses", "vertex"]

API_TITLES: Final[dict[Api, str]] = {
    "messages": "Anthropic Messages",
    "chat": "OpenAI Chat Completions",
    "responses": "OpenAI Responses",
    "vertex": "Vertex AI's own paths",
}


class SettingsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A client's own settings file.

    :param directory_variable: an environment variable that names another directory for the file.
    :param content: a template of what to add; empty if it is the environment, under the key ``environment_key``.
    :param secret: whether the content holds the key itself rather than a reference to a variable.
    :param keep: keys that are added only where they are missing.
    :param write: why ``--write`` cannot change the file; empty if it can.
    """

    path: str
    format: Literal["json", "yaml", "toml"]
    content: str = ""
    environment_key: str = ""
    directory_variable: str = ""
    secret: bool = False
    keep: tuple[str, ...] = ()
    write: str = ""


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """One client and one API that it speaks.

    :param page: of ``docs/clients``.
    :param query: what the client adds to the path of the Messages API.
    :param notes_if_set: variable -> a note for those who have set it.
    :param notes_if_absent: file in the directory of the settings file -> a note for those who lack it.
    :param public: whether the client's requests come from servers on the internet.
    """

    name: str
    title: str
    api: Api
    auth: Literal["bearer", "x-api-key"]
    page: str
    names: Literal["any", "claude", "other"] = "any"
    query: str = ""
    public: bool = False
    headers: dict[str, str] = {}
    environment: dict[str, str] = {}
    language: Literal["", "python", "javascript"] = ""
    code: str = ""
    fields: dict[str, str] = {}
    file: SettingsFile | None = None
    notes: tuple[str, ...] = ()
    notes_if_set: dict[str, str] = {}
    notes_if_absent: dict[str, str] = {}


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """All clients, in the order of the list."""

    client: tuple[Client, ...]

    @property
    def names(self) -> list[str]:
        """Names of the clients."""
        return list(dict.fromkeys(client.name for client in self.client))

    def modes(self, name: str) -> list[Client]:
        """The entries of a client, the default first; empty if there is none."""
        return [client for client in self.client if client.name == name]

    def variables_of_other_modes(self, client: Client) -> tuple[str, ...]:
        """Variables that only other modes of a client set, and that would keep it in such a mode.

        Where a variable of both modes has the mode as its value (``GOOSE_PROVIDER``), the others do no harm, and may
        belong to other programs.
        """
        own = client.environment
        names: dict[str, None] = {}
        for mode in self.modes(client.name):
            if all(own.get(name, template) == template for name, template in mode.environment.items()):
                names |= dict.fromkeys(name for name in mode.environment if name not in own)
        return tuple(names)


@cache
def clients() -> Table:
    """The table."""
    text = resources.files(__package__).joinpath("clients.toml").read_text("utf-8")
    return msgspec.toml.decode(text, type=Table)
