"""The pool of a gateway: by the proxies of the environment, and with look-ups of names of its own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

from modelmux.config.errors import ConfigError
from modelmux.runtime import Runtime
from modelmux.upstream.name_lookups import NameLookUps
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies

#: Names of upstreams and proxies that are looked up at the same time.
DNS_THREADS: Final = 4


def configured_pool(environment: Mapping[str, str], ssl_context: ssl.SSLContext | None, runtime: Runtime) -> HttpPool:
    """Opens nothing yet. :raises ConfigError: a variable names a proxy that cannot be used."""
    try:
        proxies = Proxies.from_environment(environment)
    except ValueError as error:
        raise ConfigError([str(error)], hint="Use http://host:port, or leave the variable unset.") from None
    resolver = NameLookUps(DNS_THREADS, "modelmux-dns", clock=runtime.clock, jitter=runtime.jitter)
    return HttpPool(proxies=proxies, ssl_context=ssl_context, resolver=resolver, proxy_resolver=resolver)
