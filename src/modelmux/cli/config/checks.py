"""Whether settings that can be read can be used too: routes, cards, rules and lists, every problem with its line.

Nothing is started and nothing is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from modelmux.app import check_exposure
from modelmux.catalog import builtin
from modelmux.config import Config, ConfigError, Loaded, build_routes
from modelmux.config.check import Path as Keys
from modelmux.config.cors_origins import read_origins
from modelmux.config.streaming import build_stream_modes
from modelmux.config.weak_keys import check_keys
from modelmux.upstream.downloads.url_guard import Guard

_NAMED: Final = re.compile(r"vertex\.models '(?P<name>[^']*)'|(?P<path>[a-z_]+(?:\.[\w-]+|\[\d+\])*)")


def config_problems(loaded: Loaded) -> tuple[list[str], list[str]]:
    """What is wrong, each with the place that sets it, and hints, one for each kind of problem."""
    found: list[str] = []
    hints: list[str] = []
    for check in (_cards, _routes, _streams, _origins, _keys, check_exposure):
        try:
            check(loaded.config)
        except ConfigError as error:
            found += error.problems
            hints += [error.hint] if error.hint else []
    found += [*_fetch_lists(loaded), *_credential(loaded)]
    return [_placed(problem, loaded) for problem in found], list(dict.fromkeys(hints))


def _cards(config: Config) -> None:
    config.build_catalog()


def _routes(config: Config) -> None:
    try:
        catalog = config.build_catalog()
    except ConfigError:  # said by _cards
        catalog = builtin()
    build_routes(config, catalog)


def _streams(config: Config) -> None:
    build_stream_modes(config)


def _origins(config: Config) -> None:
    read_origins(config.server.cors_origins)


def _keys(config: Config) -> None:
    check_keys(key.reveal() for key in config.server.api_keys)


def _fetch_lists(loaded: Loaded) -> Iterator[str]:
    """Each entry on its own, because a list is refused at its first that is wrong."""
    lists = ("allow", "deny", "allow_private")
    for name in lists:
        for index, text in enumerate(getattr(loaded.config.fetch, name)):
            given: Any = {name: [text]}
            try:
                Guard(resolver=_nowhere, **given)
            except ValueError as error:
                yield str(error).replace(f"fetch.{name}", f"fetch.{name}[{index}]", 1)


async def _nowhere(_host: str, _port: int) -> list[Any]:
    return []


def _credential(loaded: Loaded) -> Iterator[str]:
    secret = loaded.config.auth.service_account_json
    if secret is None:
        return
    try:
        fits = isinstance(json.loads(secret.reveal()), dict)
    except ValueError:
        fits = False
    if not fits:
        yield "auth.service_account_json: it is not a JSON object; give the content of the key file"


def _placed(problem: str, loaded: Loaded) -> str:
    """A problem with where the setting it names comes from."""
    origin = _origin(problem, loaded)
    return f"{origin}: {problem}" if origin else problem


def _origin(problem: str, loaded: Loaded) -> str | None:
    found = _NAMED.match(problem)
    if found is None:
        return None
    if found["name"] is not None:
        names = [model.name for model in loaded.config.vertex.models]
        path: Keys = ("vertex", "models", names.index(found["name"])) if found["name"] in names else ("vertex", "model")
    else:
        path = tuple(int(p) if p.isdigit() else p for p in re.findall(r"[\w-]+", found["path"]))
    origin = loaded.origin(path)
    return origin if origin != "default" and len(path) > 1 else None


def describe_sources(loaded: Loaded) -> list[str]:
    """What was read, for people: files, and the variables that set something."""
    said = []
    for layer in loaded.layers:
        if layer.text is not None:
            said.append(layer.name)
        elif layer.tree:
            names = ", ".join(dict.fromkeys(layer.set_by.values()))
            said.append(f"{layer.name} ({names})" if names else layer.name)
    return said
