"""What an operator should know of a configuration that can be used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from modelmux.config import Config
from modelmux.gateway.dated_routes import DatedRoutes
from modelmux.gateway.permitted_models import key_warnings
from modelmux.gateway.unmet_conditions import selector_warnings
from modelmux.routing.warnings import all_warnings
from modelmux.store.ledger.open_ledger import switched_off
from modelmux.store.local_state import LocalState
from modelmux.store.open_responses import OpenedResponses
from modelmux.telemetry import names
from modelmux.telemetry.log import Log
from modelmux.upstream.trust import Trust


def operator_warnings(
    config: Config,
    routes: DatedRoutes,
    environment: Mapping[str, str],
    *,
    trust: Trust,
    state: LocalState,
    responses: OpenedResponses,
) -> Iterator[dict[str, str]]:
    """Fields of log lines: a ``message``, and the ``route`` where one is meant."""
    prices = config.build_prices() if config.accounts.enabled else None
    for name, sentence in all_warnings(routes.current, routes.day, config.build_catalog(), prices):
        yield {"route": name, "message": sentence}
    unused = (f"{name} is not used: {problem}" for name, problem in trust.problems)
    of_key = () if config.server.seal_keys else state.warnings
    unmatched = (
        [*key_warnings(routes.current, config.accounts.keys), *selector_warnings(routes.current, config.accounts)]
        if config.accounts.enabled
        else []
    )
    for sentence in filter(None, (*unused, *of_key, *unmatched, responses.warning, switched_off(config, environment))):
        yield {"message": sentence}


def thinking_log(log: Log) -> Callable[[str | None], None]:
    """What the store of thinking calls when nodes remember for themselves only, and with None when they share again."""

    def on_problem(problem: str | None) -> None:
        if problem is None:
            log.info(names.EVENT_THINKING, message="thinking is remembered by all nodes together again")
        else:
            log.warning(names.EVENT_THINKING, message=problem)

    return on_problem
