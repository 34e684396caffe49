"""Risk: a page in a browser on this machine reaches the admin API, or a request without a token does."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.admin.listener import AdminListener
from modelmux.config import Config, ConfigError
from modelmux.server.responses import send_json
from support.asgi import Response, request


async def nothing() -> None:
    pass


def listener(host: str = "127.0.0.1", **admin: Any) -> AdminListener:
    async def api(scope: Any, receive: Any, send: Any) -> None:
        await send_json(send, 200, b'"api"', [])

    one = AdminListener(host, nothing, nothing)
    one.serve(Config.from_dict({"admin": {"token": "token-of-the-owner"} | admin}), api)
    return one


async def get(one: AdminListener, path: str = "/admin/v1/keys", method: str = "GET", **headers: str) -> Response:
    return await request(one, method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})


async def test_the_api_gets_what_may_reach_it() -> None:
    for headers in ({}, {"host": "localhost:3001"}, {"host": "127.0.0.1", "origin": "http://localhost:8000"}):
        assert (await get(listener(), **headers)).json() == "api"


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/", "/anything"])
async def test_a_page_that_rebinds_its_name_is_refused(path: str) -> None:
    response = await get(listener(), path, host="evil.example:3001")
    assert (response.status, response.json()["error"]["code"]) == (421, "host_not_allowed")
    assert "admin.allowed_hosts" in response.json()["error"]["message"]
    assert (await get(listener(allowed_hosts=["admin.lan"]), host="admin.lan")).status == 200


async def test_a_page_of_another_origin_is_refused() -> None:
    response = await get(listener(), origin="https://evil.example")
    assert response.status == 403


async def test_a_form_behind_a_proxy_that_changes_the_host_is_told_so() -> None:
    """The dashboard takes forms: that it is none of JSON is not what is wrong with it."""
    form = {"content_type": "application/x-www-form-urlencoded", "origin": "https://admin.lan"}
    response = await get(listener(allowed_hosts=["other.lan"]), "/dashboard/sign-in", "POST", host="127.0.0.1", **form)
    assert (response.status, response.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert "A proxy in front has to pass the header Host on." in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/admin/v1/keys", {"host": "evil.example"}, 421), ("/", {"origin": "https://evil.example"}, 403),
        ("/livez", {}, 405),
    ],
)  # fmt: skip
async def test_no_refusal_is_kept_or_taken_for_a_page(path: str, headers: dict[str, str], status: int) -> None:
    response = await get(listener(), path, "PUT", **headers)
    assert response.status == status
    assert (response.headers["cache-control"], response.headers["x-content-type-options"]) == ("no-store", "nosniff")


async def test_a_form_that_sends_no_referrer_has_the_origin_null() -> None:
    assert (await get(listener(), origin="null")).status == 403, "any site can make a page of this origin"
    for site, status in (("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("none", 403)):
        assert (await get(listener(), origin="null", sec_fetch_site=site)).status == status
    response = await get(listener(), origin="null", sec_fetch_site="same-origin", host="evil.example")
    assert response.status == 421, "the page of a rebound name is of the same origin, too"


async def test_a_page_under_the_name_of_a_proxy_is_of_this_listener() -> None:
    one = listener(allowed_hosts=["admin.lan"])
    assert (await get(one, host="admin.lan", origin="https://admin.lan")).json() == "api"
    assert (await get(one, host="admin.lan", origin="https://other.lan")).status == 403


async def test_without_a_token_a_session_is_let_through() -> None:
    one = listener(token=None)
    assert (await get(one, cookie="modelmux_session=abc")).json() == "api", "which looks whether it is one"
    assert (await get(one, cookie="other=abc")).status == 401


async def test_on_a_public_address_any_name_is_served() -> None:
    assert (await get(listener("0.0.0.0"), host="admin.example.com")).json() == "api"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz", "/"])
async def test_probes_need_no_token(path: str) -> None:
    for one in (listener(), listener(token=None)):
        assert (await get(one, path)).status == 200
        assert (await get(one, path, "HEAD")).body == b""
        refused = await get(one, path, "POST")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/admin/v1/keys", "/admin/v1/openapi.json", "/nothing", "/livez/", "//livez"])
async def test_without_a_token_every_request_is_refused(path: str) -> None:
    for headers in ({}, {"authorization": "Bearer "}, {"authorization": "Bearer token-of-the-owner"}):
        response = await get(listener(token=None), path, **headers)
        assert response.status == 401
        assert "set admin.token" in response.json()["error"]["message"]


async def test_another_configuration_takes_its_place() -> None:
    one = listener()
    with pytest.raises(ConfigError):
        one.serve(Config.from_dict({"admin": {"token": "x" * 20, "allowed_hosts": ["a/b"]}}), nothing)  # type: ignore[arg-type]
    assert (await get(one)).json() == "api", "what cannot be used changes nothing"
    one.serve(Config(), nothing)  # type: ignore[arg-type]
    assert (await get(one)).status == 401
