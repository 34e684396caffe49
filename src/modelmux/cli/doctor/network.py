"""The way to Vertex AI: DNS, TCP, TLS and the clock, for each distinct host of the deployments.

Connections are made by the gateway's own code, so that what works here works there.
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
from modelmux.upstream.connect import AddressInfo, dial, resolve, tls_context
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies, Proxy
from modelmux.wire.http import Call, Origin, Timeouts

#: Seconds for each stage of looking at one host.
_PATIENCE: Final = Timeouts(connect=10.0, pool=5.0, send=5.0, first_byte=10.0, idle=10.0)
#: Seconds by which the clock may be off before it is said, and before Google refuses signed assertions.
SKEW_WARN: Final = 60.0
SKEW_FAIL: Final = 300.0
#: For an address that is none.
BAD_URL: Final = "correct vertex.base_url, or the url of the model: https://HOST or http://HOST:PORT"
_SET_CLOCK: Final = "set the clock, for instance by turning NTP on"
#: Most hosts looked at at once, and most bytes read of a page that nobody wants.
_AT_ONCE: Final = 8
_MAX_PAGE: Final = 1 << 20


def check_network(subject: DoctorContext) -> list[Result]:
    """Every host; empty if there are no deployments to look at."""
    origins, unusable = _origins(deployment.url for deployment, _ in subject.deployments())
    try:
        proxies = Proxies.from_environment(subject.process)
    except ValueError as error:
        return [Result("proxy", "fail", str(error), "use http://host:port, or unset the variable")]
    return [*unusable, *asyncio.run(_all(origins, proxies))]


def _origins(urls: Iterable[str]) -> tuple[list[Origin], list[Result]]:
    """Each host once, and what is wrong with addresses that are none."""
    origins: dict[Origin, None] = {}
    unusable: dict[str, Result] = {}
    for url in urls:
        base = redact_userinfo(url).partition("/v1/")[0]
        try:
            origin = Origin.parse(url)
            if not re.fullmatch(r"[\w.:-]+", origin.host):
                raise ValueError  # noqa: TRY301
            origins[origin] = None
        except ValueError:
            unusable[base] = Result(base, "fail", "not the address of a host", BAD_URL)
    return list(origins), list(unusable.values())


async def _all(origins: Sequence[Origin], proxies: Proxies) -> list[Result]:
    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(origin: Origin) -> list[Result]:
        async with turns:
            return await _host(origin, proxies)

    return [result for results in await asyncio.gather(*map(one, origins)) for result in results]


async def _host(origin: Origin, proxies: Proxies) -> list[Result]:
    reached = await _reach(origin, proxies.proxy_for(origin))
    if reached.status != "ok":
        return [reached]
    return [reached, *await _clock(origin, proxies)]


class _Stages(asyncio.Protocol):
    """Notes when the connection stood: once for TCP, again for TLS."""

    def __init__(self) -> None:
        self.stood: list[float] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.stood.append(time.monotonic())
        self.transport = transport


async def _reach(origin: Origin, proxy: Proxy | None) -> Result:
    resolved: list[float] = []

    async def timed(host: str, port: int) -> Sequence[AddressInfo]:
        addresses = await resolve(host, port)
        resolved.append(time.monotonic())
        return addresses

    context = tls_context() if origin.scheme == "https" else None
    stages, began = _Stages(), time.monotonic()
    try:
        async with asyncio.timeout(_PATIENCE.connect):
            await dial(lambda: stages, origin, proxy=proxy, context=context, resolver=timed)
    except UpstreamUnreachable as error:
        found = f"{error.message.rstrip('.')} ({error.detail})"
        return Result(origin.authority, "fail", found, _remedy(error, proxy))
    except TimeoutError:
        found = f"no {'TLS' if stages.stood else 'TCP' if resolved else 'DNS'} after {_PATIENCE.connect:.0f} s"
        return Result(origin.authority, "fail", found, "check the firewall, and HTTPS_PROXY if there is a proxy")
    names = ["DNS", "TCP", "TLS"] if proxy is None else [f"tunnel by proxy {proxy.host}:{proxy.port}", "TLS"]
    times = [began, *resolved, *stages.stood]
    spent = [f"{name} {1000 * (b - a):.0f} ms" for name, a, b in zip(names, times, times[1:], strict=False)]
    encryption = stages.transport.get_extra_info("ssl_object")
    stages.transport.abort()
    version = f" ({encryption.version()})" if encryption is not None else ""
    return Result(origin.authority, "ok", ", ".join(spent) + version, ms=round(1000 * (times[-1] - began)))


def _remedy(error: UpstreamUnreachable, proxy: Proxy | None) -> str:
    if "resolved" in error.message and proxy is None:
        return "check vertex.location or base_url, and DNS; where only a proxy resolves names, set HTTPS_PROXY"
    return error.hint or "check the firewall, and HTTPS_PROXY and NO_PROXY if there is a proxy"


async def _clock(origin: Origin, proxies: Proxies) -> list[Result]:
    """How far the clock is from the host's, by the Date header of any page of its."""
    pool = HttpPool(proxies=proxies)
    before = time.time()
    try:
        reply = await pool.send(Call(origin, "/", [(b"accept", b"*/*")], b"", _PATIENCE, method="GET"))
        after = time.time()
        try:
            date = next((value.decode("latin-1") for name, value in reply.headers if name == b"date"), None)
            await reply.read(_MAX_PAGE)
        finally:
            await reply.aclose()
    except GatewayError as error:
        hint = error.hint or "something in between answers in its place: check the proxy and base_url"
        return [Result(f"{origin.authority} HTTP", "fail", f"{error.message} ({error.detail})", hint)]
    finally:
        await pool.aclose()
    skew = clock_skew(date, before, after)
    return [] if skew is None else [judge_skew(f"clock against {origin.authority}", skew)]


def clock_skew(date: str | None, before: float, after: float) -> float | None:
    """Seconds by which our clock is ahead of the host's; None without a date that can be read.

    :param date: value of the header, cut to whole seconds.
    :param before, after: our clock when the request went out and when the reply came.
    """
    try:
        theirs = parsedate_to_datetime(date).timestamp() if date else None
    except ValueError:
        return None
    return None if theirs is None else (before + after) / 2 - (theirs + 0.5)


def judge_skew(check: str, skew: float) -> Result:
    """What a skew means."""
    if abs(skew) <= SKEW_WARN:
        return Result(check, "ok", "right" if abs(skew) < 2 else f"{skew:+.0f} s")
    found = f"{abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    if abs(skew) <= SKEW_FAIL:
        return Result(check, "warn", found, _SET_CLOCK)
    return Result(check, "fail", f"{found}: Google refuses signed assertions", _SET_CLOCK)
