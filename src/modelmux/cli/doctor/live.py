"""A test request of one token to each deployment, and what the response means."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from typing import Final

from modelmux.cli.doctor.network import BAD_URL
from modelmux.cli.doctor.result import DoctorContext, Result, Status
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.providers.base import MAX_ERROR_BODY
from modelmux.providers.vertex_claude.provider import VertexClaude
from modelmux.routing.model import Deployment, Route
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies
from modelmux.wire import anthropic
from modelmux.wire.http import Timeouts

#: Concurrent requests, and the timeouts of one: enough for the first token of a slow model, short enough to wait for.
MAX_CONCURRENT: Final = 4
_TIMEOUTS: Final = Timeouts(connect=10.0, pool=30.0, send=10.0, first_byte=30.0, idle=10.0)
_ENABLE: Final = (
    "open the model's card in the Model Garden of the Google Cloud console, for this project, and press Enable "
    "(docs/google-setup.md)"
)
_QUOTA: Final = (
    "if nothing else uses this project, it is 0: request quota on the console's page IAM & Admin > Quotas (filter by "
    "the base model; docs/google-setup.md), or use another location"
)
_SHARING: Final = "enable it in the model's card in the Model Garden, or with the setPublisherModelConfig API"
_PERMISSION: Final = (
    "check vertex.project, grant the role Vertex AI User (roles/aiplatform.user), enable the API "
    f"aiplatform.googleapis.com, and {_ENABLE}"
)
#: Kind of error (``claude.upstream_errors``) -> what it means, and what to do.
_MEANINGS: Final = {
    "not_enabled": ("the model is not enabled for this project", _ENABLE),
    "unauthenticated": (
        "Google rejects the access token",
        "renew the credentials; auth.access_token lasts about an hour, and base_url must be a Vertex AI endpoint",
    ),
    "billing": ("the project has a billing problem", "link a billing account to the project"),
    "overloaded": ("Vertex AI is overloaded", 'try again later; several locations help: locations = ["global", "eu"]'),
    "server_error": ("Vertex AI failed", "try again later; see https://status.cloud.google.com"),
    "timeout": ("Vertex AI did not respond in time", "try again later"),
    "invalid_request": ("Vertex AI rejected the request", "check the model's id, and vertex.publisher"),
    "unexpected": ("an unexpected response", "check that vertex.base_url or the model's url is a Vertex AI endpoint"),
}
#: Errors that are temporary, or that only Google can fix: the configuration is not the cause.
_TEMPORARY: Final = frozenset({"overloaded", "server_error", "timeout"})


def check_live(context: DoctorContext, today: date) -> list[Result]:
    """Calls every deployment. Where the operator listed no models, some of the catalog are probably not enabled: that
    is a warning, unless none works."""
    deployments = context.deployments()
    if not deployments:
        return [Result("live", "skip", "there are no deployments to call", "correct the configuration first")]
    if context.broken is not None:
        return [context.skipped("live")]
    if context.token is None:
        return [Result("live", "skip", "there is no access token", "fix the credentials first")]
    try:
        proxies = Proxies.from_environment(context.process)
    except ValueError as error:
        return [Result("live", "skip", str(error), "correct the proxy variable first")]
    return asyncio.run(_call_all(deployments, context, proxies, today))


async def _call_all(
    deployments: list[tuple[Deployment, bool]], context: DoctorContext, proxies: Proxies, today: date
) -> list[Result]:
    assert context.token is not None
    token, semaphore = context.token, asyncio.Semaphore(MAX_CONCURRENT)
    vertex = VertexClaude(quota_project=lambda: context.quota_project)
    pool = HttpPool(proxies=proxies, ssl_context=context.trust.context())

    async def one(deployment: Deployment) -> Result:
        async with semaphore:
            return await _call(deployment, vertex, pool, token, today)

    try:
        results = await asyncio.gather(*(one(deployment) for deployment, _ in deployments))
    finally:
        await pool.aclose()
    lenient = any(result.status == "ok" for result in results)
    return [
        _as_warning(result) if lenient and not configured else result
        for result, (_, configured) in zip(results, deployments, strict=True)
    ]


def _as_warning(result: Result) -> Result:
    if result.status != "fail":
        return result
    return Result(result.check, "warn", result.detail, result.hint, result.ms)


async def _call(deployment: Deployment, vertex: VertexClaude, pool: HttpPool, token: str, today: date) -> Result:
    body = anthropic.encode_request(
        anthropic.MessagesRequest(
            anthropic_version=anthropic.VERTEX_VERSION,
            max_tokens=1,
            messages=[anthropic.InputMessage("user", [anthropic.TextBlock("Hi")])],
        )
    )
    started = time.monotonic()
    try:
        route = Route(deployment.id, (deployment,), timeouts=_TIMEOUTS)
        reply = await pool.send(vertex.call(deployment, body, token, stream=False, betas=(), route=route))
        try:
            body = await reply.read(MAX_ERROR_BODY)
        finally:
            await reply.aclose()
    except GatewayError as error:
        detail = f"{error.message} ({error.detail})" if error.detail else error.message
        return Result(deployment.id, "fail", detail, error.hint or "see the check of its host above")
    except ValueError:
        return Result(deployment.id, "fail", "its URL is not valid", BAD_URL)
    elapsed_ms = round(1000 * (time.monotonic() - started))
    if reply.status == 200:
        return Result(deployment.id, "ok", f"responded in {elapsed_ms} ms", ms=elapsed_ms)
    refused = vertex.error(reply.status, reply.headers, body, deployment, time.time())
    return explain(deployment, refused, today, elapsed_ms)


def explain(deployment: Deployment, refused: UpstreamRefused, today: date, ms: int | None = None) -> Result:
    """What an error means for the operator of the gateway."""
    status: Status = "warn" if refused.kind.name in _TEMPORARY else "fail"
    if refused.kind.name == "rate_limit":
        status, meaning, hint = _quota(refused)
    elif refused.kind.name == "not_found":
        meaning, hint = _missing(deployment, today)
    elif refused.kind.name == "permission":
        meaning, hint = _permission(refused)
    else:
        meaning, hint = _MEANINGS.get(refused.kind.name, _MEANINGS["unexpected"])
    if refused.kind.name == "invalid_request" and "region" in refused.message.lower():
        meaning, hint = f"the model cannot be called in {deployment.location}", _other_location(deployment)
    message = f": {refused.message}" if refused.message else ""
    return Result(deployment.id, status, f"{refused.reply.status}, {meaning}{message}", hint, ms)


def _quota(refused: UpstreamRefused) -> tuple[Status, str, str]:
    """Google's message is the same for a quota of zero and an exhausted one, but not for a lack of capacity."""
    if "quota" in refused.message.lower():
        return "fail", "the quota is exhausted, or 0 as in new projects", _QUOTA
    return "warn", "the model is busy", "try again in a minute; several locations or provisioned throughput help"


def _permission(refused: UpstreamRefused) -> tuple[str, str]:
    if "data sharing" in refused.message.lower():
        return "the model requires data sharing with its publisher", _SHARING
    return "the credentials do not have permission to call this model, or the project does not exist", _PERMISSION


def _missing(deployment: Deployment, today: date) -> tuple[str, str]:
    """Google's message is the same for a wrong region, a wrong id, a model that is not enabled and a retired one."""
    card = deployment.card
    if not card.served_in(deployment.location):
        return f"{card.id} is not served in {deployment.location}", _other_location(deployment)
    successor = f"use {card.replacement}" if card.replacement else "use a newer model; `modelmux models` lists them"
    if card.is_retired(today):
        return f"{card.id} is retired (since {card.retired_on})", successor
    if card.retires_on is not None and card.retires_on <= today:
        return f"{card.id} is probably retired (since {card.retires_on})", successor
    if not card.known:
        return (
            f"{card.id} is not in the catalog",
            "check the model's id; `modelmux models` lists known ones",
        )
    return (f"not enabled, or not served in {deployment.location or 'its location'}",
            f"{_ENABLE}; or use the location global")  # fmt: skip


def _other_location(deployment: Deployment) -> str:
    return f"use global, us or eu instead of {deployment.location or 'this location'}"
