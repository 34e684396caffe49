"""Sign-in to the admin API by a proxy: whose word is believed."""

from __future__ import annotations

from collections.abc import Iterator

from modelmux.cli.doctor.result import Result
from modelmux.config import Config, ConfigError
from modelmux.config.proxy_sign_in import check_proxy_sign_in, more_than_hosts


def check_sign_in(config: Config) -> Iterator[Result]:
    """Nothing where no proxy signs in, or where `serve` would not start, of which the check of the exposure tells."""
    check, admin = "sign-in by a proxy", config.admin
    try:
        check_proxy_sign_in(config)
    except ConfigError:
        return
    if admin.trusted_header is not None:
        networks, wide = ", ".join(admin.trusted_peers), ", ".join(more_than_hosts(admin.trusted_peers))
        if wide:
            hint = "set admin.trusted_peers to the addresses of the proxies, such as 127.0.0.1/32"
            text = f"{admin.trusted_header} is believed from {wide}, where every program can be anyone"
            yield Result(check, "warn", text, hint)
        else:
            text = f"{admin.trusted_header} is believed from {networks}, and from every program there"
            yield Result(check, "ok", text)
    elif admin.iap_audience is not None:
        yield Result(check, "ok", f"the Identity-Aware Proxy, for {admin.iap_audience}")
    elif admin.trusted_peers:
        hint = 'set admin.trusted_header = "x-forwarded-email", or remove admin.trusted_peers'
        yield Result(check, "warn", "admin.trusted_peers has no effect without admin.trusted_header", hint)
