"""Checks of settings beyond their types: routes, cards, rules and lists. Each problem comes with its file and line.

Nothing is started or called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import date
from typing import Any, Final

from modelmux.catalog import Catalog, builtin, builtin_prices, lifecycle_warning
from modelmux.config import Config, ConfigError, Loaded, build_routes
from modelmux.config.accounts_check import check_accounts
from modelmux.config.allowed_hosts import read_hosts
from modelmux.config.captures import captures
from modelmux.config.conversations_check import check_conversations
from modelmux.config.cors_origins import read_origins
from modelmux.config.limits_check import limit_wait, redis_url
from modelmux.config.locations import model_in
from modelmux.config.metrics_check import check_metrics
from modelmux.config.paths import KeyPath
from modelmux.config.price_overrides import all_prices
from modelmux.config.seal_keys import read_seal_keys
from modelmux.config.streaming import build_stream_modes
from modelmux.config.telemetry_check import check_telemetry
from modelmux.config.weak_keys import check_keys
from modelmux.gateway.permitted_models import key_warnings
from modelmux.gateway.unmet_conditions import selector_warnings
from modelmux.routing.warnings import route_warnings, unknown_model, unknown_models
from modelmux.runtime import Runtime
from modelmux.server.exposure import check_exposure
from modelmux.store.directory.managed import check_entries
from modelmux.store.ledger.open_ledger import ledger_path
from modelmux.upstream.downloads.url_guard import UrlGuard
from modelmux.upstream.trust import configured_trust

_SETTING: Final = re.compile(r"vertex\.models '(?P<name>[^']*)'|(?P<path>[a-z_]+(?:\.[\w-]+|\[\d+\])*)")


def config_problems(loaded: Loaded) -> tuple[list[str], list[str]]:
    """All problems, each with the origin of the setting, and hints without repetitions."""
    problems: list[str] = []
    hints: list[str] = []
    for check in (
        _cards,
        _accounts,
        _store,
        check_entries,
        _prices,
        _routes,
        _streams,
        _origins,
        _hosts,
        _authorities,
        _keys,
        _seal_keys,
        check_conversations,
        limit_wait,
        redis_url,
        captures,
        check_exposure,
    ):
        try:
            check(loaded.config)
        except ConfigError as error:
            problems += error.problems
            hints += [error.hint] if error.hint else []
    problems += [*_fetch_lists(loaded), *_credential(loaded)]
    return [_with_origin(problem, loaded) for problem in problems], list(dict.fromkeys(hints))


def model_warnings(loaded: Loaded) -> list[str]:
    """Configured models that retire, are retired, or are not in the catalog: a sentence for each, with its origin."""
    config = loaded.config
    today, catalog = Runtime().today(), _catalog(config)
    of_accounts: list[str] = []
    try:
        routes = build_routes(config, catalog, today)
    except ConfigError:  # reported by _routes; what is known of the models themselves does not depend on it
        pairs = dict.fromkeys(_entry_warnings(config, catalog, today))
    else:
        pairs = dict.fromkeys((*route_warnings(routes, today), *unknown_models(routes, catalog)))
        of_accounts = [*key_warnings(routes, config.accounts.keys), *selector_warnings(routes, config.accounts)]
    sentences = [*(f"vertex.models {name!r}: {sentence}" for name, sentence in pairs), *of_accounts]
    return [_with_origin(sentence, loaded) for sentence in sentences]


def _entry_warnings(config: Config, catalog: Catalog, today: date) -> Iterator[tuple[str, str]]:
    """Pairs of the name of an entry and a message about its models."""
    for entry in config.vertex.models:
        own = [(entry.model, entry.url), *((each.model, each.url) for each in entry.deployments)]
        ids = [model or model_in(url or "") for model, url in own if model or url]
        for card in map(catalog.card, ids or [config.vertex.model or entry.name]):
            messages = (lifecycle_warning(card, today), unknown_model(card, catalog))
            yield from ((entry.name, message) for message in messages if message is not None)


def _cards(config: Config) -> None:
    config.build_catalog()


def _accounts(config: Config) -> None:
    check_accounts(config.accounts)
    check_metrics(config.metrics)
    check_telemetry(config.telemetry)


def _store(config: Config) -> None:
    if config.accounts.enabled:
        ledger_path(config)


def _prices(config: Config) -> None:
    all_prices(builtin_prices(), config.accounts, _catalog(config))


def _routes(config: Config) -> None:
    build_routes(config, _catalog(config), Runtime().today())


def _catalog(config: Config) -> Catalog:
    try:
        return config.build_catalog()
    except ConfigError:  # reported by _cards
        return builtin()


def _streams(config: Config) -> None:
    build_stream_modes(config)


def _origins(config: Config) -> None:
    read_origins(config.server.cors_origins)


def _authorities(config: Config) -> None:
    configured_trust(config.tls.ca_file, {})


def _hosts(config: Config) -> None:
    read_hosts(config.server.allowed_hosts)


def _keys(config: Config) -> None:
    check_keys(key.reveal() for key in config.server.api_keys)


def _seal_keys(config: Config) -> None:
    read_seal_keys(key.reveal() for key in config.server.seal_keys)


def _fetch_lists(loaded: Loaded) -> Iterator[str]:
    """Each entry on its own: a list is rejected at its first invalid entry."""
    lists = ("allow", "deny", "allow_private")
    for name in lists:
        for index, text in enumerate(getattr(loaded.config.fetch, name)):
            arguments: Any = {name: [text]}
            try:
                UrlGuard(resolver=_no_addresses, **arguments)
            except ValueError as error:
                yield str(error).replace(f"fetch.{name}", f"fetch.{name}[{index}]", 1)


async def _no_addresses(_host: str, _port: int) -> list[Any]:
    return []


def _credential(loaded: Loaded) -> Iterator[str]:
    secret = loaded.config.auth.service_account_json
    if secret is None:
        return
    try:
        valid = isinstance(json.loads(secret.reveal()), dict)
    except ValueError:
        valid = False
    if not valid:
        yield "auth.service_account_json: not a JSON object; set it to the content of the key file"


def _with_origin(problem: str, loaded: Loaded) -> str:
    """A problem after the origin of the setting that it names."""
    origin = _origin(problem, loaded)
    return f"{origin}: {problem}" if origin else problem


def _origin(problem: str, loaded: Loaded) -> str | None:
    match = _SETTING.match(problem)
    if match is None:
        return None
    if match["name"] is not None:
        names = [model.name for model in loaded.config.vertex.models]
        path: KeyPath = (
            ("vertex", "models", names.index(match["name"])) if match["name"] in names else ("vertex", "model")
        )
    else:
        path = tuple(int(p) if p.isdigit() else p for p in re.findall(r"[\w-]+", match["path"]))
    origin = loaded.origin(path)
    return origin if origin != "default" and len(path) > 1 else None


def describe_sources(loaded: Loaded) -> list[str]:
    """The sources that were read, for people: files, and the variables that set something."""
    described = []
    for layer in loaded.sources:
        if layer.text is not None:
            described.append(layer.name)
        elif layer.tree:
            names = ", ".join(dict.fromkeys(name.strip("()") for name in layer.set_by.values()))
            described.append(f"{layer.name} ({names})" if names else layer.name)
    return described
