"""What the configuration says about sign-in by a proxy, as what decides it."""

from __future__ import annotations

import secrets
from typing import Final

from modelmux.admin.backend import Backend
from modelmux.admin.proxy_sign_in import AddressSource, IapAssertion, ProxySignIn, TrustedHeader
from modelmux.config import Config
from modelmux.config.admin_check import roles_of
from modelmux.config.allowed_hosts import read_hosts
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.open_directory import known_peppers
from modelmux.telemetry import names
from modelmux.telemetry.log import Log

#: In place of a pepper while there is none, as before the first key.
_OF_PROCESS: Final = secrets.token_bytes(32)


def proxy_sign_in(config: Config, backend: Backend, log: Log, before: ProxySignIn | None = None) -> ProxySignIn | None:
    """None where no proxy signs anybody in. :raises ConfigError: ``tls.ca_file`` cannot be used.

    :param before: that of the configuration of before, whose keys are still good if they come from the same address.
    """
    admin = config.admin
    source: AddressSource | None = None
    if admin.trusted_header is not None:
        source = TrustedHeader(admin.trusted_header, tuple(admin.trusted_peers))
    elif admin.iap_audience is not None:
        source = _iap(admin.iap_audience, config, backend, log, None if before is None else before.source)
    if source is None:
        return None
    hosts = read_hosts(admin.allowed_hosts, "admin.allowed_hosts")
    return ProxySignIn(source, lambda: _issuer(config, backend), roles_of(admin), hosts)


def _issuer(config: Config, backend: Backend) -> Issuer:
    """Of the peppers that there are: who looks at a page makes none. :raises ConfigError: one cannot be used."""
    return Issuer([*known_peppers(config, backend.environment), _OF_PROCESS], lambda: backend.now() / 1_000_000)


def _iap(audience: str, config: Config, backend: Backend, log: Log, before: AddressSource | None) -> IapAssertion:
    from modelmux.admin.iap_keys import KeyFetch, SigningKeys  # google-auth and requests are slow to import
    from modelmux.upstream.trust import configured_trust

    url, trust = config.admin.iap_keys_url, configured_trust(config.tls.ca_file, backend.environment)

    def failed(why: str) -> None:
        message = f"the public keys of the Identity-Aware Proxy could not be fetched from admin.iap_keys_url: {why}"
        log.error(names.EVENT_ACCOUNTS, message=message)

    keys = before.keys if isinstance(before, IapAssertion) else None
    if not isinstance(keys, SigningKeys) or not keys.is_of(url, trust):
        keys = SigningKeys(KeyFetch(url, trust), backend.clock, failed)
    return IapAssertion(audience, keys, lambda: backend.now() / 1_000_000)
