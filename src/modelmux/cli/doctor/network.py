"""The network path to Vertex AI: DNS, TCP, TLS and the clock, for each host of the deployments and of keys for sign-in.

Connections are opened by the gateway's own code, so that a success here means a success there.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, Final

from modelmux.cli.doctor.result import DoctorContext, Result
from modelmux.cli.sanitize import redact_userinfo
from modelmux.errors import GatewayError, UpstreamUnreachable
from modelmux.upstream.connect import AddressInfo, connect, resolve
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies, Proxy
from modelmux.upstream.trust import NO_TRUST, Trust, tls_context
from modelmux.wire.http import HttpCall, Origin, Timeouts

#: Seconds for each stage of checking one host.
_TIMEOUTS: Final = Timeouts(connect=10.0, pool=5.0, send=5.0, first_byte=10.0, idle=10.0)
#: Seconds of clock skew above which there is a warning, and above which Google rejects signed assertions.
SKEW_WARN: Final = 60.0
SKEW_FAIL: Final = 300.0
#: Hint for an invalid address.
BAD_URL: Final = "correct vertex.base_url, or the url of the model: https://HOST or http://HOST:PORT"
_SET_CLOCK: Final = "set the clock, for example by enabling NTP"
#: Hosts checked concurrently, and the size limit of a page that is only read for its Date header.
_MAX_CONCURRENT: Final = 8
_MAX_PAGE: Final = 1 << 20


def check_network(context: DoctorContext) -> list[Result]:
    """Every host; empty without deployments."""
    origins, invalid = _origins([*(deployment.url for deployment, _ in context.deployments()), *_key_urls(context)])
    try:
        proxies = Proxies.from_environment(context.process)
    except ValueError as error:
        context.broken = "the proxy variable"
        return [Result("proxy", "fail", str(error), "use http://host:port, or unset the variable")]
    results = [*_authorities(context), *invalid]
    if context.broken is not None:  # no certificate can be judged
        results += [context.skipped(origin.authority) for origin in origins if origin.scheme == "https"]
        origins = [origin for origin in origins if origin.scheme != "https"]
    return results + asyncio.run(_check_all(origins, proxies, context.trust))


def _key_urls(context: DoctorContext) -> list[str]:
    """Where keys of a proxy that signs people in are fetched."""
    config = context.config
    return [config.admin.iap_keys_url] if config is not None and config.admin.iap_audience is not None else []


def _authorities(context: DoctorContext) -> list[Result]:
    """The files of certificate authorities in use, and the variables whose file cannot be used."""
    trust = context.trust
    results = [Result(name, "ok", f"adds the certificate authorities of {path}") for name, path in trust.sources]
    hint = "name a readable PEM file with certificates, or unset the variable"
    return results + [Result(name, "warn", f"is not used: {problem}", hint) for name, problem in trust.problems]


def _origins(urls: Iterable[str]) -> tuple[list[Origin], list[Result]]:
    """Each host once, and a failure for each invalid address."""
    origins: dict[Origin, None] = {}
    invalid: dict[str, Result] = {}
    for url in urls:
        base = redact_userinfo(url).partition("/v1/")[0]
        try:
            origin = Origin.parse(url)
            if not re.fullmatch(r"[\w.:-]+", origin.host):
                raise ValueError  # noqa: TRY301
            origins[origin] = None
        except ValueError:
            invalid[base] = Result(base, "fail", "not a valid host", BAD_URL)
    return list(origins), list(invalid.values())


async def _check_all(origins: Sequence[Origin], proxies: Proxies, trust: Trust) -> list[Result]:
    semaphore = asyncio.Semaphore(_MAX_CONCURRENT)

    async def one(origin: Origin) -> list[Result]:
        async with semaphore:
            return await _host(origin, proxies, trust)

    return [result for results in await asyncio.gather(*map(one, origins)) for result in results]


async def _host(origin: Origin, proxies: Proxies, trust: Trust = NO_TRUST) -> list[Result]:
    reached = await _reach(origin, proxies.proxy_for(origin), trust)
    if reached.status != "ok":
        return [reached]
    return [reached, *await _clock(origin, proxies, trust)]


class _Stages(asyncio.Protocol):
    """Records when the connection was established: for TCP, and again for TLS."""

    def __init__(self) -> None:
        self.established: list[float] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.established.append(time.monotonic())
        self.transport = transport


async def _reach(origin: Origin, proxy: Proxy | None, trust: Trust) -> Result:
    resolved: list[float] = []

    async def timed(host: str, port: int) -> Sequence[AddressInfo]:
        addresses = await resolve(host, port)
        resolved.append(time.monotonic())
        return addresses

    context = (trust.context() or tls_context()) if origin.scheme == "https" else None
    stages, started = _Stages(), time.monotonic()
    try:
        async with asyncio.timeout(_TIMEOUTS.connect):
            await connect(lambda: stages, origin, proxy=proxy, context=context, resolver=timed)
    except UpstreamUnreachable as error:
        detail = f"{error.message.rstrip('.')} ({error.detail})"
        return Result(origin.authority, "fail", detail, _remedy(error, proxy))
    except TimeoutError:
        detail = f"no {'TLS' if stages.established else 'TCP' if resolved else 'DNS'} after {_TIMEOUTS.connect:.0f} s"
        return Result(origin.authority, "fail", detail, "check the firewall, and HTTPS_PROXY if there is a proxy")
    names = ["DNS", "TCP", "TLS"] if proxy is None else [f"tunnel through proxy {proxy.host}:{proxy.port}", "TLS"]
    times = [started, *resolved, *stages.established]
    spent = [f"{name} {1000 * (b - a):.0f} ms" for name, a, b in zip(names, times, times[1:], strict=False)]
    encryption = stages.transport.get_extra_info("ssl_object")
    stages.transport.abort()
    version = f" ({encryption.version()})" if encryption is not None else ""
    return Result(origin.authority, "ok", ", ".join(spent) + version, ms=round(1000 * (times[-1] - started)))


def _remedy(error: UpstreamUnreachable, proxy: Proxy | None) -> str:
    if "resolved" in error.message and proxy is None:
        return "check vertex.location or base_url, and DNS; where only a proxy resolves names, set HTTPS_PROXY"
    return error.hint or "check the firewall, and HTTPS_PROXY and NO_PROXY if there is a proxy"


async def _clock(origin: Origin, proxies: Proxies, trust: Trust) -> list[Result]:
    """The skew between our clock and the host's, from the Date header of any page."""
    pool = HttpPool(proxies=proxies, ssl_context=trust.context())
    before = time.time()
    try:
        reply = await pool.send(HttpCall(origin, "/", [(b"accept", b"*/*")], b"", _TIMEOUTS, method="GET"))
        after = time.time()
        try:
            date = next((value.decode("latin-1") for name, value in reply.headers if name == b"date"), None)
            await reply.read(_MAX_PAGE)
        finally:
            await reply.aclose()
    except GatewayError as error:
        hint = error.hint or "something between here and there responds instead: check the proxy and base_url"
        return [Result(f"{origin.authority} HTTP", "fail", f"{error.message} ({error.detail})", hint)]
    finally:
        await pool.aclose()
    skew = clock_skew(date, before, after)
    return [] if skew is None else [judge_skew(f"clock against {origin.authority}", skew)]


def clock_skew(date: str | None, before: float, after: float) -> float | None:
    """Seconds by which our clock is ahead of the host's; None without a valid date.

    :param date: value of the header, in full seconds.
    :param before, after: our clock when the request went out and when the reply came.
    """
    try:
        theirs = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
    return None if theirs is None else (before + after) / 2 - (theirs + 0.5)


def judge_skew(check: str, skew: float) -> Result:
    """The result for a skew."""
    if abs(skew) <= SKEW_WARN:
        return Result(check, "ok", "right" if abs(skew) < 2 else f"{skew:+.0f} s")
    detail = f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) <= SKEW_FAIL:
        return Result(check, "warn", detail, _SET_CLOCK)
    return Result(check, "fail", f"{detail}: Google rejects signed assertions", _SET_CLOCK)
