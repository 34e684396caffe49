"""What to set in a client, from its entry in the table, the URL, the names of models and the key. No I/O.

A secret key is written as a reference to the variable ``MODELMUX_KEY``, unless the caller passes the key itself.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final

import yaml
from msgspec import Struct

from modelmux.cli.connect.gateway_url import GatewayUrl
from modelmux.cli.connect.names import ModelNames
from modelmux.cli.connect.table import API_TITLES, Client, SettingsFile, clients

#: The variable that holds the key on the client's machine.
KEY_VARIABLE: Final = "MODELMUX_KEY"
#: Where a file cannot refer to the variable.
KEY_PLACEHOLDER: Final = "YOUR_KEY"
#: For gateways that need no key: most clients do not start without one.
NO_KEY: Final = "unused"

_REFERENCE: Final = f"${KEY_VARIABLE}"
#: The same for a shell, which stops where the variable is not set or empty, rather than export an empty key.
_REQUIRED: Final = f"${{{KEY_VARIABLE}:?set it to a key of the gateway}}"
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")
_COMMENTS: Final = {"javascript": "//"}
#: Before a program that reads the variable: it fails without it.
_ABOUT_KEY: Final = f"{KEY_VARIABLE} is a key of the gateway, not of Anthropic or OpenAI; any word if it asks for none."


class Setup(Struct, frozen=True):
    """What to set in one client.

    :param environment: variable -> value.
    :param unset: variables of the client's other modes, which must not be set.
    :param code: a program.
    :param fields: label of a settings page -> value.
    :param path: the client's settings file, with ``~``; empty if it has none.
    :param content: what has to be in that file.
    """

    environment: dict[str, str] = {}
    unset: tuple[str, ...] = ()
    code: str = ""
    fields: dict[str, str] = {}
    path: str = ""
    content: str = ""

    def mentions(self, word: str) -> bool:
        texts = (*self.environment.values(), self.code, *self.fields.values(), self.content)
        return any(word in text for text in texts)


def render(client: Client, url: GatewayUrl, names: ModelNames, key: str | None, path: str = "") -> Setup:
    """The settings of a client.

    :param key: the key itself, to show or to write it; None for a reference.
    :param path: where the client's settings file is, if elsewhere than usual.
    """
    values = {
        "root": url.root,
        "v1": url.v1,
        "model": names.model,
        "chosen": names.chosen,
        "context": str(names.context),
        "output": str(names.output),
        **names.families,
    }
    environment = {
        name: text
        for name, template in client.environment.items()
        if (text := _fill(template, {**values, "key": key or _REFERENCE}))
    }
    expressions = {
        "python_key": json.dumps(key) if key else f'os.environ["{KEY_VARIABLE}"]',
        "js_key": json.dumps(key) if key else f"process.env.{KEY_VARIABLE}",
    }
    code = _fill(_fill(client.code, values, escape=_in_quotes, keep=expressions), expressions)
    if key is None and client.language:
        code = f"{_COMMENTS.get(client.language, '#')} {_ABOUT_KEY}\n{code}"
    in_file = {**values, "key": key or KEY_PLACEHOLDER}
    return Setup(
        environment=environment,
        unset=clients().variables_of_other_modes(client),
        code=code if key is None or client.language != "python" else code.replace("import os\n\n", "", 1),
        fields={label: _fill(template, in_file) for label, template in client.fields.items()},
        path=path or (client.file.path if client.file is not None else ""),
        content=_content(client.file, in_file, environment, key) if client.file is not None else "",
    )


def _content(file: SettingsFile, values: Mapping[str, str], environment: Mapping[str, str], key: str | None) -> str:
    if not file.environment_key:
        return _fill(file.content, values, escape=_in_quotes).lstrip("\n")
    literal = {name: key or KEY_PLACEHOLDER if text == _REFERENCE else text for name, text in environment.items()}
    return json.dumps({file.environment_key: literal}, indent=2, ensure_ascii=False) + "\n"


def _fill(
    template: str,
    values: Mapping[str, str],
    *,
    escape: Callable[[str], str] = str,
    keep: Mapping[str, str] | None = None,
) -> str:
    """Replace the placeholders of a template, except those of ``keep``.

    :raises KeyError: the template has a placeholder without a value.
    """
    return _PLACEHOLDER.sub(lambda match: match[0] if match[1] in (keep or ()) else escape(values[match[1]]), template)


def _in_quotes(text: str) -> str:
    """Text between double quotes, in JSON, YAML, TOML, Python and JavaScript."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def filled_notes(client: Client, directory: str, variables: Container[str], files: Container[str]) -> list[str]:
    """The notes of a client.

    :param directory: of its settings file, as a shell takes it.
    :param variables: that are set.
    :param files: that are in the directory.
    """
    notes = [
        *(note for name, note in client.notes_if_absent.items() if name not in files),
        *(note for name, note in client.notes_if_set.items() if name in variables),
        *client.notes,
    ]
    return [_fill(note, {"directory": directory}) for note in notes]


def parsed_content(setup: Setup, file: SettingsFile) -> Any:
    """The content of a settings file as values."""
    if file.format == "toml":
        return tomllib.loads(setup.content)
    return json.loads(setup.content) if file.format == "json" else yaml.safe_load(setup.content)


def export(name: str, text: str) -> str:
    """A variable as a line of a shell."""
    return f'export {name}="{_REQUIRED}"' if text == _REFERENCE else f"export {name}={shlex.quote(text)}"


def lines(client: Client, setup: Setup, url: GatewayUrl) -> Iterator[str]:
    """The settings as text: everything except the settings themselves is a comment, so that variables can be read by a
    shell and programs can be run."""
    comment = _COMMENTS.get(client.language, "#")
    yield f"{comment} {client.title} ({API_TITLES[client.api]}), through {url.root}"
    if setup.unset:
        yield f"unset {' '.join(setup.unset)}"
    for name, text in setup.environment.items():
        yield export(name, text)
    if setup.code:
        yield setup.code.strip("\n")
    width = max(map(len, setup.fields), default=0)
    for label, text in setup.fields.items():
        yield f"{label:<{width}}  {text}"
    if setup.content and not (client.file is not None and client.file.environment_key):
        yield f"{comment} in {setup.path}:"
        yield setup.content.strip("\n")
