"""One request of one token to each deployment, and what the answer means."""

from __future__ import annotations

import asyncio
import time
from datetime import date
from typing import Final

from modelmux.claude.upstream_errors import translate_fault
from modelmux.cli.doctor.network import BAD_URL
from modelmux.cli.doctor.result import DoctorContext, Result, Status
from modelmux.errors import GatewayError, UpstreamRefused
from modelmux.providers.vertex_claude.provider import MAX_ERROR_BODY, Vertex
from modelmux.routing.routes import Deployment
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies
from modelmux.wire import anthropic
from modelmux.wire.google.vertex import decode_fault
from modelmux.wire.http import Timeouts

#: Requests at once, and seconds for one: enough for a slow model's first token, short enough to wait for.
AT_ONCE: Final = 4
_PATIENCE: Final = Timeouts(connect=10.0, pool=30.0, send=10.0, first_byte=30.0, idle=10.0)
_ENABLE: Final = (
    "open the model's card in the Model Garden of the Google Cloud console, with this project chosen, and press Enable"
)
_QUOTA: Final = (
    "if nothing else uses this project it is 0: ask for quota on the console's page IAM & Admin > Quotas (filter by "
    "the base model), or use another location"
)
_SHARING: Final = "turn it on in the model's card in the Model Garden, or by the setPublisherModelConfig API"
_PERMISSION: Final = (
    "check vertex.project, grant the role Vertex AI User (roles/aiplatform.user), enable the API "
    f"aiplatform.googleapis.com, and {_ENABLE}"
)
#: Kind of a refusal (``claude.upstream_errors``) -> what it means, and what to do.
_MEANINGS: Final = {
    "not_enabled": ("the model is not enabled for this project", _ENABLE),
    "unauthenticated": (
        "Google does not accept the access token",
        "renew the credentials; auth.access_token lasts about an hour, and base_url must be a Vertex AI endpoint",
    ),
    "billing": ("the project has a billing problem", "link a billing account to the project"),
    "overloaded": ("Vertex AI is overloaded", 'try again later; several locations help: locations = ["global", "eu"]'),
    "server_error": ("Vertex AI failed to answer", "try again later; see https://status.cloud.google.com"),
    "timeout": ("Vertex AI took too long to answer", "try again later"),
    "invalid_request": ("Vertex AI did not accept the request", "check the model's id, and vertex.publisher"),
    "unexpected": ("an unexpected answer", "check that vertex.base_url or the model's url is a Vertex AI endpoint"),
}
#: Refusals that pass, or that only an operator of Vertex AI mends: no reason to change the configuration.
_PASSING: Final = frozenset({"overloaded", "server_error", "timeout"})


def check_live(subject: DoctorContext, today: date) -> list[Result]:
    """Asks every deployment. Where the operator named no models, a model of the catalog may well not be enabled: that
    is a warning, unless none answers."""
    deployments = subject.deployments()
    if not deployments:
        return [Result("live", "skip", "there are no deployments to ask", "correct the configuration first")]
    if subject.token is None:
        return [Result("live", "skip", "there is no access token to ask with", "mend the credentials first")]
    try:
        proxies = Proxies.from_environment(subject.process)
    except ValueError as error:
        return [Result("live", "skip", str(error), "correct the proxy variable first")]
    return asyncio.run(_all(deployments, subject, proxies, today))


async def _all(
    deployments: list[tuple[Deployment, bool]], subject: DoctorContext, proxies: Proxies, today: date
) -> list[Result]:
    assert subject.token is not None
    token, turns = subject.token, asyncio.Semaphore(AT_ONCE)
    vertex = Vertex(quota_project=lambda: subject.quota_project)
    pool = HttpPool(proxies=proxies)

    async def one(deployment: Deployment) -> Result:
        async with turns:
            return await _ask(deployment, vertex, pool, token, today)

    try:
        results = await asyncio.gather(*(one(deployment) for deployment, _ in deployments))
    finally:
        await pool.aclose()
    lenient = any(result.status == "ok" for result in results)
    return [
        _softer(result) if lenient and not configured else result
        for result, (_, configured) in zip(results, deployments, strict=True)
    ]


def _softer(result: Result) -> Result:
    if result.status != "fail":
        return result
    return Result(result.check, "warn", result.detail, result.hint, result.ms)


async def _ask(deployment: Deployment, vertex: Vertex, pool: HttpPool, token: str, today: date) -> Result:
    body = anthropic.encode_request(
        anthropic.MessagesRequest(
            anthropic_version=anthropic.VERTEX_VERSION,
            max_tokens=1,
            messages=[anthropic.InputMessage("user", [anthropic.TextBlock("Hi")])],
        )
    )
    began = time.monotonic()
    try:
        reply = await pool.send(vertex.call(deployment, body, token, stream=False, timeouts=_PATIENCE))
        try:
            answer = await reply.read(MAX_ERROR_BODY)
        finally:
            await reply.aclose()
    except GatewayError as error:
        found = f"{error.message} ({error.detail})" if error.detail else error.message
        return Result(deployment.id, "fail", found, error.hint or "see the check of its host above")
    except ValueError:
        return Result(deployment.id, "fail", "its URL cannot be called", BAD_URL)
    took = round(1000 * (time.monotonic() - began))
    if reply.status == 200:
        return Result(deployment.id, "ok", f"answered in {took} ms", ms=took)
    refused = translate_fault(decode_fault(reply.status, answer))
    return explain(deployment, refused, today, took)


def explain(deployment: Deployment, refused: UpstreamRefused, today: date, ms: int | None = None) -> Result:
    """What a refusal means for whoever runs the gateway."""
    status: Status = "warn" if refused.kind in _PASSING else "fail"
    if refused.kind == "rate_limit":
        status, meaning, hint = _quota(refused)
    elif refused.kind == "not_found":
        meaning, hint = _not_found(deployment, today)
    elif refused.kind == "permission":
        meaning, hint = _permission(refused)
    else:
        meaning, hint = _MEANINGS.get(refused.kind, _MEANINGS["unexpected"])
    if refused.kind == "invalid_request" and "region" in refused.message.lower():
        meaning, hint = f"the model cannot be called in {deployment.location}", _elsewhere(deployment)
    said = f": {refused.message}" if refused.message else ""
    return Result(deployment.id, status, f"{refused.upstream_status}, {meaning}{said}", hint, ms)


def _quota(refused: UpstreamRefused) -> tuple[Status, str, str]:
    """Google words a quota of zero and one that is used up alike; only a shortage of machines reads differently."""
    if "quota" in refused.message.lower():
        return "fail", "the quota is used up, or it is 0 as in new projects", _QUOTA
    return "warn", "the model is busy", "try again in a minute; several locations or provisioned throughput help"


def _permission(refused: UpstreamRefused) -> tuple[str, str]:
    if "data sharing" in refused.message.lower():
        return "the model asks for data sharing with its publisher", _SHARING
    return "the credentials may not call this model, or the project does not exist", _PERMISSION


def _not_found(deployment: Deployment, today: date) -> tuple[str, str]:
    """Google says the same of a wrong region, a wrong id, a model that is not enabled and one that is retired."""
    card = deployment.card
    if not card.served_in(deployment.location):
        return f"{card.id} is not served in {deployment.location}", _elsewhere(deployment)
    if card.retires is not None and card.retires <= today:
        return (
            f"{card.id} is probably retired (since {card.retires})",
            "use a newer model; `modelmux models` lists them",
        )
    if not card.known:
        return (
            f"{card.id} is no model the catalog knows",
            "check the model's id; `modelmux models` lists the known ones",
        )
    return (f"not enabled, or not served in {deployment.location or 'its location'}",
            f"{_ENABLE}; or use the location global")  # fmt: skip


def _elsewhere(deployment: Deployment) -> str:
    return f"use global, us or eu instead of {deployment.location or 'this location'}"
