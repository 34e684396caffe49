"""Risk: a configuration by which anybody could be anyone is accepted, or one that cannot work is not explained."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.config import Config, ConfigError
from modelmux.config.admin_check import check_admin, roles_of
from modelmux.config.proxy_sign_in import signs_in_by_proxy, too_wide
from modelmux.server.exposure import check_exposure

HEADER = {"trusted_header": "X-Forwarded-Email", "trusted_peers": ["10.0.3.7/32", "fd00::/64", "192.0.2.1"]}
IAP = {"iap_audience": "/projects/1/global/backendServices/2"}


def config(*, enabled: bool = True, **admin: Any) -> Config:
    return Config.from_dict({"accounts": {"enabled": enabled}, "admin": admin})


def refusal(**settings: Any) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        check_admin(config(**settings))
    assert refused.value.hint
    return refused.value


def test_it_is_off_by_default() -> None:
    assert not signs_in_by_proxy(config().admin)
    check_admin(config(trusted_peers=["10.0.0.1"]))


@pytest.mark.parametrize("admin", [HEADER, IAP, IAP | {"iap_keys_url": "http://127.0.0.1:9/keys"}])
def test_what_can_be_used(admin: dict[str, Any]) -> None:
    check_admin(config(**admin))
    assert signs_in_by_proxy(config(**admin).admin)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trusted_peers": []}, "admin.trusted_peers: it is empty, so X-Forwarded-Email would never be believed"),
        ({"trusted_peers": ["10.0.3.7/32", "10.0.3.7/8"]}, r"admin.trusted_peers\[1\]: '10.0.3.7/8' is not a network"),
        ({"trusted_peers": ["proxy.example.com"]}, "is not a network"),
        ({"trusted_peers": ["::ffff:10.0.3.7"]}, r"would never be believed: write 10\.0\.3\.7/32"),
        ({"trusted_peers": ["::ffff:10.0.3.0/120"]}, r"would never be believed: write 10\.0\.3\.0/24"),
        ({"trusted_header": ""}, "is not the name of a header"),
        ({"trusted_header": "x-é"}, "is not the name of a header"),
        ({"trusted_header": "x-a: b"}, "is not the name of a header"),
        ({"trusted_header": "x_forwarded_email"}, "may not tell _ and - apart"),
        ({"trusted_header": "Authorization"}, "another meaning"),
        ({"trusted_header": "cookie"}, "another meaning"),
        ({"trusted_header": "sec-fetch-site"}, "another meaning"),
        ({"trusted_header": "x-forwarded-for"}, "another meaning"),
        ({"trusted_header": "x-goog-iap-jwt-assertion"}, "set admin.iap_audience"),
        ({"trusted_header": "X-Goog-Authenticated-User-Email"}, "set admin.iap_audience"),
        (IAP, "admin.iap_audience is set, too"),
        ({"enabled": False, "listen": "127.0.0.1:0"}, "without accounts there are none"),
    ],
)
def test_a_header_that_cannot_be_meant(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        raise refusal(**(HEADER | changes))


@pytest.mark.parametrize(
    "changes",
    [{"iap_audience": ""}, {"iap_audience": "my-service"}, {"iap_keys_url": "http://www.gstatic.com/keys"},
     {"iap_keys_url": "file:///keys"}, {"iap_keys_url": "https://"}, {"iap_keys_url": "http://[::1"},
     {"iap_keys_url": "http://127.0.0.1:99999/"}],
)  # fmt: skip
def test_what_cannot_be_of_the_identity_aware_proxy(changes: dict[str, Any]) -> None:
    assert "docs/admin-api.md" in str(refusal(**(IAP | changes)).hint)


@pytest.mark.parametrize(
    ("peers", "wide"),
    [
        (["0.0.0.0/0"], True), (["::/0"], True), (["0.0.0.0/1", "128.0.0.0/1"], True), (["198.0.0.0/8"], True),
        (["2000::/3"], True), (["10.0.0.0/7"], True), (["10.0.0.0/8"], True), (["172.16.0.0/12"], True),
        (["192.168.0.0/16"], True), (["100.64.0.0/10"], True), (["172.17.0.0/16"], True), (["10.0.2.0/23"], True),
        (["fc00::/7"], True), (["fd00::/63"], True), (["fe80::/10"], True), (["35.191.0.0/16"], True),
        (["169.254.0.0/16"], True), (["169.254.1.1/32"], True), (["::/8"], True), (["64:ff9b::/96"], True),
        (["10.0.3.0/24", "fd00::/64", "130.211.0.0/24", "127.0.0.0/8", "::1/128", "127.0.0.1"], False),
        (["10.0.3.7"], False), (["nonsense"], False),
    ],
)  # fmt: skip
def test_networks_with_more_than_proxies(peers: list[str], wide: bool) -> None:
    assert bool(too_wide(peers)) == wide
    admin = HEADER | {"trusted_peers": peers, "token": "a-token-of-the-owner"}
    if wide:
        check_exposure(config(listen="127.0.0.1:3001", **admin))  # `doctor` warns
        with pytest.raises(ConfigError, match="from where anybody could send X-Forwarded-Email") as refused:
            check_exposure(config(listen="0.0.0.0:3001", **admin))
        assert "admin.trusted_peers" in str(refused.value.hint)
    elif peers != ["nonsense"]:
        check_exposure(config(listen="0.0.0.0:3001", **admin))


def test_wide_networks_of_a_header_that_is_off_do_not_matter() -> None:
    check_exposure(config(listen="0.0.0.0:3001", token="a-token-of-the-owner", trusted_peers=["0.0.0.0/0"]))


def test_a_public_listener_needs_a_token_with_a_proxy_too() -> None:
    with pytest.raises(ConfigError, match=r"admin\.token is not set"):
        check_exposure(config(listen="0.0.0.0:3001", **HEADER))


def test_roles_of_people() -> None:
    roles = [{"email": " Ann@Example.com", "role": "owner"}, {"email": "bob@example.com", "role": "auditor"}]
    one = config(roles=roles)
    check_admin(one)
    assert roles_of(one.admin) == {"ann@example.com": "owner", "bob@example.com": "auditor"}
    for email in ("ANN@example.com", "ann", ""):
        assert "once" in str(refusal(roles=[*roles, {"email": email, "role": "viewer"}]).hint)
