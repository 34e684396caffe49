"""The retry loop: makes attempts for one reply until one succeeds or no further one is worth it.

The decision is a pure function (``routing/retry.py``); this module collects its arguments and carries it out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from modelmux.errors import GatewayError, without_traceback
from modelmux.gateway.conversation import Conversation
from modelmux.gateway.exchange import Exchange
from modelmux.gateway.preparation import Preparation
from modelmux.routing.model import Deployment, Route
from modelmux.routing.retry import AttemptState, Retry, Stop, decide_retry, rejects_model

T = TypeVar("T")
#: One attempt: deployment, access token, whether it repeats a failed one.
Attempt = Callable[[Deployment, str, bool], Awaitable[T]]


class RetryLoop:
    """Attempts for one reply, one after another.

    A model other than the primary one that does not accept the request is left out of what follows. If its preparation
    already fails, there is no attempt.

    :param route: with the deployments that may be tried.
    """

    def __init__(self, exchange: Exchange, preparation: Preparation, route: Route, conversation: Conversation) -> None:
        self._exchange = exchange
        self._services = exchange.services
        self._preparation = preparation
        self._route = route
        self._conversation = conversation
        self._primary_model = conversation.primary_model if route.has_several_models else route.card.id
        self._policy = self._services.retry_policy.limited_to(exchange.max_attempts)
        self._attempted: list[Deployment] = []
        self._token_renewed = False
        self._rejected_models: frozenset[str] = frozenset()
        self._primary_error: GatewayError | None = None
        #: What the client gets if there is no further attempt.
        self._error: GatewayError | None = None

    async def run(self, attempt: Attempt[T]) -> T:
        """Try deployments until one gives content.

        :raises GatewayError: no further attempt is worth it. The error is that of the last attempt, or of the primary
            model if the last attempt's model did not accept the request and is another one.
        """
        services = self._services
        budget = services.deployments.budget(self._route)
        budget.deposit()
        deployment = await self._first_choice()
        token = await services.tokens.token()
        while True:
            self._attempted.append(deployment)
            try:
                result = await attempt(deployment, token, len(self._attempted) > 1)
            except GatewayError as error:
                failure = error
                decision = await self._decide(error, deployment)
                without_traceback(error)
            else:
                self._conversation.record_answer(deployment.card.id, services.deployments)
                return result
            if decision.renew_token:
                token, self._token_renewed = await services.tokens.renew(token), True
            elif decision.repair:
                await self._exchange.run(self._preparation.repair, failure, deployment)
            else:  # the other two do not count as retries of a failure
                budget.withdraw()
            if decision.delay:
                await services.runtime.sleep(decision.delay)
                token = await services.tokens.token()
            deployment = decision.deployment

    async def _first_choice(self) -> Deployment:
        pool, conversation, route = self._services.deployments, self._conversation, self._route
        while True:
            deployment = pool.first_choice(
                route, conversation.affinity_key, self._services.runtime.jitter(), conversation.pinned_model
            )
            if await self._accepts(deployment):
                return deployment
            route = route.limited_to(d for d in route.deployments if d.card.id not in self._rejected_models)

    async def _accepts(self, deployment: Deployment) -> bool:
        """Whether the request can be prepared for a deployment's model.

        :raises GatewayError: it cannot, and the model is the primary one.
        """
        try:
            if self._exchange.is_costly:
                await self._services.large_requests.run(self._preparation.prepare, deployment)
            else:
                self._preparation.prepare(deployment)
        except GatewayError:
            if deployment.card.id == self._primary_model:
                raise
            self._rejected_models |= {deployment.card.id}
            return False
        return True

    async def _decide(self, error: GatewayError, deployment: Deployment) -> Retry:
        """:raises GatewayError: no further attempt is worth it."""
        can_repair = await self._exchange.run(self._preparation.can_repair, error, deployment)
        decision = self._decision(error, can_repair=can_repair)
        if isinstance(decision, Retry) and (decision.renew_token or decision.repair):
            return decision
        self._record(error, deployment)
        while isinstance(decision, Retry) and not await self._accepts(decision.deployment):
            decision = self._decision(error, can_repair=can_repair)
        if isinstance(decision, Retry):
            return decision
        self._exchange.stop_reason = decision.reason
        if decision.zero_quota is not None:
            raise self._services.deployments.zero_quota(decision.zero_quota) from error
        reported = self._error or error
        if reported is not error:  # which becomes its context
            without_traceback(error)
        raise reported

    def _decision(self, error: GatewayError, *, can_repair: bool) -> Retry | Stop:
        services, pool = self._services, self._services.deployments
        state = AttemptState(
            self._route,
            tuple(self._attempted),
            token_renewed=self._token_renewed,
            can_repair=can_repair,
            primary_model=self._primary_model,
            pinned_model=self._conversation.pinned_model,
            rejected_models=self._rejected_models,
            availability=pool.availability(self._route),
            affinity_key=self._conversation.affinity_key,
            now=services.runtime.clock(),
            deadline=self._exchange.deadline,
            can_retry=pool.budget(self._route).has_retry,
        )
        return decide_retry(error, state, self._policy, services.runtime.jitter())

    def _record(self, error: GatewayError, deployment: Deployment) -> None:
        """Remember what a failure means for the models that are left, and for the client."""
        model = deployment.card.id
        rejected = rejects_model(error, model, self._primary_model)
        if rejected:
            self._rejected_models |= {model}
        if model == self._primary_model:
            self._error = self._primary_error = error
        elif not rejected:
            self._error = error
        else:
            self._error = self._primary_error or self._error or error
