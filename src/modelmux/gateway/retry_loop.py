"""The retry loop: makes attempts for one reply until one succeeds or no further one is worth it.

The decision is a pure function (``routing/retry.py``); this module collects its arguments and carries it out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from modelmux.errors import GatewayError, without_traceback
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Preparation
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import AttemptState, Retry, Stop, decide_retry

T = TypeVar("T")
#: One attempt: deployment, access token, whether it repeats a failed one.
Attempt = Callable[[Deployment, str, bool], Awaitable[T]]


class RetryLoop:
    """Attempts for one reply, one after another.

    :param route: with the deployments that may be tried.
    """

    def __init__(self, exchange: Exchange, preparation: Preparation, route: Route, affinity_key: bytes | None) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._preparation = preparation
        self._route = route
        self._affinity_key = affinity_key
        self._attempted: list[Deployment] = []
        self._token_renewed = False
        self._rejected_models: frozenset[str] = frozenset()
        self._first_error: GatewayError | None = None

    async def run(self, attempt: Attempt[T]) -> T:
        """Try deployments until one gives content.

        :raises GatewayError: of the last attempt, when no further one is worth it.
        """
        services, route = self._services, self._route
        pool, runtime = services.deployments, services.runtime
        budget = pool.budget(route)
        budget.deposit()
        deployment = pool.first_choice(route, self._affinity_key, runtime.jitter())
        token = await services.tokens.token()
        while True:
            self._attempted.append(deployment)
            try:
                result = await attempt(deployment, token, len(self._attempted) > 1)
            except GatewayError as error:
                decision = self._decide(self._considered(error, deployment), deployment)
                without_traceback(error)
            else:
                self._pin_model(deployment)
                return result
            if decision.renew_token:
                token, self._token_renewed = await services.tokens.renew(token), True
            elif decision.drop_thinking:
                self._preparation.drop_thinking(deployment)
            else:  # the other two do not count as retries of a failure
                budget.withdraw()
            if decision.delay:
                await runtime.sleep(decision.delay)
                token = await services.tokens.token()
            deployment = decision.deployment

    def _considered(self, error: GatewayError, deployment: Deployment) -> GatewayError:
        """The error to decide about: a fallback model that does not accept the request is skipped, and the client gets
        the error of the model before it."""
        if self._first_error is None or deployment.card.id == self._attempted[0].card.id:
            self._first_error = error
            return error
        if error.status != 400:
            return error
        self._rejected_models |= {deployment.card.id}
        return self._first_error

    def _decide(self, error: GatewayError, deployment: Deployment) -> Retry:
        """:raises GatewayError: no further attempt is worth it."""
        services, pool = self._services, self._services.deployments
        decision = decide_retry(
            error,
            AttemptState(
                self._route,
                tuple(self._attempted),
                token_renewed=self._token_renewed,
                thinking_removed=not self._preparation.has_thinking(deployment),
                rejected_models=self._rejected_models,
                availability=pool.availability(self._route),
                affinity_key=self._affinity_key,
                now=services.runtime.clock(),
                deadline=self._exchange.deadline,
                can_retry=pool.budget(self._route).has_retry,
            ),
            services.retry_policy,
            services.runtime.jitter(),
        )
        if isinstance(decision, Stop):
            self._exchange.stop_reason = decision.reason
            if decision.zero_quota is not None:  # more helpful than the last attempt's error
                raise pool.zero_quota(decision.zero_quota) from error
            raise error
        return decision

    def _pin_model(self, deployment: Deployment) -> None:
        """After a fallback, keep the conversation with the model that replied."""
        key, route = self._affinity_key, self._exchange.route
        if key is not None and route is not None and route.has_several_models:
            self._services.deployments.pin_model(key, deployment.card.id, default=route.card.id)
