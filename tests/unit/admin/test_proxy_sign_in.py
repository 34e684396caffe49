"""Risk: whoever reaches the listener names a person by a header, or a page of another site writes as who is signed in
at the proxy.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.edits import save_person, set_member
from modelmux.accounts.records import Person
from modelmux.admin.errors import SigningKeysUnavailable
from modelmux.admin.operations import OPERATIONS
from modelmux.admin.proxy_sign_in import FindsKeys, IapAssertion, ProxySignIn, TrustedHeader
from modelmux.admin.rate_limit import FAILURES
from modelmux.admin.sessions import csrf_of
from modelmux.config import ConfigError
from modelmux.store.directory.issuer import Issuer
from support import iap
from support.admin import PEPPER, Admin, organisation
from support.asgi import Response
from support.directories import NOW
from support.iap import AUDIENCE, assertion, claims, public_pem, signed_by_public_key, unsigned
from support.proxies import HOST, PROXY, SAME, send

OWN = ("x-forwarded-email", "own@example.com")
API = "/admin/v1"
OTHER_PEPPER = b"another" * 5
ROLES = {"own@example.com": "owner"}


def issuer() -> Issuer:
    return Issuer([PEPPER], lambda: NOW / 1e6)


def behind_proxy(folder: Path, *peers: str, roles: Any = None) -> Admin:
    source = TrustedHeader(" X-Forwarded-Email", peers or (f"{PROXY}/32", "fd00::/64"))
    return Admin(folder, proxy=ProxySignIn(source, issuer, roles or {}))


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    """Behind a proxy. In it, ``own`` is a member."""
    one = behind_proxy(tmp_path)
    await organisation(one)
    yield one
    await one.aclose()


@pytest.fixture
async def owned(tmp_path: Path) -> AsyncIterator[Admin]:
    """Behind a proxy. In it, ``own`` is an owner."""
    one = behind_proxy(tmp_path, roles=ROLES)
    await organisation(one)
    yield one
    await one.aclose()


async def get(admin: Admin, *sent: tuple[str, str], path: str = "/keys", **options: Any) -> Response:
    return await send(admin.app, "GET", API + path, *sent, **options)


def code_of(response: Response) -> tuple[int, str]:
    return response.status, response.json()["error"]["code"]


async def csrf(admin: Admin, email: str = "own@example.com") -> str:
    """The CSRF token of a person, as its dashboard has it."""
    proxy = admin.app.callers._proxy
    assert proxy is not None
    return (await proxy.csrf_tokens(proxy.subject(await admin.directory(), email)))[0]


async def test_the_person_of_the_address_has_its_role(admin: Admin) -> None:
    for email in ("own@example.com", " OWN@Example.com "):
        response = await get(admin, ("x-forwarded-email", email))
        assert [one["name"] for one in response.json()["data"]] == ["own"]
    assert (await get(admin, OWN, path="/people")).status == 403
    await admin.edit(lambda d: set_member(d, "usr_own", "team_own", "team_admin"))
    assert (await get(admin, OWN, path="/people")).status == 200, "the role of now"


@pytest.mark.parametrize("client", [("10.0.3.7", 1), ("::ffff:10.0.3.7", 1), ("fd00::9", 1)])
async def test_proxies_are_believed(admin: Admin, client: tuple[str, int]) -> None:
    assert (await get(admin, OWN, client=client)).status == 200


@pytest.mark.parametrize(
    "client",
    [("10.0.3.8", 1), ("127.0.0.1", 1), ("::1", 1), ("fd00:0:0:1::9", 1), ("::ffff:10.0.3.8", 1), None, ("", 0),
     ("10.0.3.7.example", 1)],
)  # fmt: skip
@pytest.mark.parametrize(
    "claimed", [(), (("x-forwarded-for", PROXY),), (("x-real-ip", PROXY), ("forwarded", f"for={PROXY}"))]
)
async def test_anyone_else_is_not_believed(admin: Admin, client: Any, claimed: Any) -> None:
    assert code_of(await get(admin, OWN, *claimed, client=client)) == (401, "invalid_api_key")


async def test_no_operation_believes_anyone_else(admin: Admin) -> None:
    sent = [*SAME.items(), ("x-csrf-token", await csrf(admin)), ("x-goog-authenticated-user-email", OWN[1])]
    before = (await admin.directory()).version
    for operation in OPERATIONS:
        path = API + re.sub(r"{\w+}", "key_own", operation.path)
        response = await send(admin.app, operation.method, path, OWN, *sent, client=("10.0.3.8", 1), body={})
        assert code_of(response) == (401, "invalid_api_key"), operation
    assert (await admin.directory()).version == before


@pytest.mark.parametrize(
    "name",
    ["x_forwarded_email", "x-forwarded_email", "x-forwarded-email ", " x-forwarded-email", "x-forwarded-email\t",
     "x-forwarded-emails", "http_x_forwarded_email", "x-forwarded-user", "x-forwarded-email\x00"],
)  # fmt: skip
async def test_another_name_is_another_header(admin: Admin, name: str) -> None:
    assert code_of(await get(admin, (name, "other@example.com"))) == (401, "invalid_api_key")
    rows = (await get(admin, (name, "other@example.com"), OWN)).json()["data"]
    assert [one["name"] for one in rows] == ["own"], "it changes nothing"


@pytest.mark.parametrize("second", ["own@example.com", "other@example.com", ""])
async def test_a_header_that_comes_twice_is_not_believed(admin: Admin, second: str) -> None:
    for pair in ((OWN, (OWN[0], second)), ((OWN[0], second), OWN)):
        response = await get(admin, *pair)
        assert code_of(response) == (401, "header_repeated")
    assert "remove the header" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    "value",
    ["own@example.com,other@example.com", "own@example.com other@example.com", "own@example.com;", "usr_own", "own@",
     "<own@example.com>", "own@example.com\x00", "own@example.com\xa0x", "öwn@example.com", "x" * 5000,
     "accounts.google.com:own@example.com", "other@example.org"],
)  # fmt: skip
async def test_what_is_not_the_address_of_a_person_is_refused(admin: Admin, value: str) -> None:
    response = await get(admin, ("x-forwarded-email", value))
    assert code_of(response) == (403, "person_unknown")
    assert "modelmux people create" in response.json()["error"]["message"]
    assert value not in response.body.decode()


async def test_without_an_address_a_request_is_of_no_one(admin: Admin) -> None:
    for sent in ((), (("x-forwarded-email", ""),), (("x-forwarded-email", "  "),)):
        assert code_of(await get(admin, *sent)) == (401, "invalid_api_key")


async def test_a_disabled_person_is_refused_from_the_next_request_on(admin: Admin) -> None:
    assert (await get(admin, OWN)).status == 200
    await admin.edit(lambda d: save_person(d, Person(id="usr_own", email="own@example.com", status="disabled")))
    response = await get(admin, OWN)
    assert code_of(response) == (403, "person_disabled")
    assert "--enable" in response.json()["error"]["message"]


async def test_a_letter_that_becomes_another_in_lower_case_is_not_that(admin: Admin) -> None:
    await admin.edit(lambda d: save_person(d, Person(id="usr_k", email="kim@example.com")))
    proxy = admin.app.callers._proxy
    assert proxy is not None
    assert "\u212aim@example.com".lower() == "kim@example.com"
    with pytest.raises(Exception, match="does not know"):
        proxy.subject(await admin.directory(), "\u212aim@example.com")


async def test_a_token_comes_first_and_a_wrong_one_is_refused(owned: Admin) -> None:
    for value, status in (
        ("Bearer token-member", 403), ("Bearer token-owner", 200), ("Bearer wrong", 401), ("Bearer", 401), ("", 401),
        ("Basic b3duOm93bg==", 401),
    ):  # fmt: skip
        response = await get(owned, OWN, path="/people", authorization=value)
        assert response.status == status, value
    assert (await get(owned, OWN, path="/people")).status == 200


async def test_a_session_comes_before_the_header_and_one_that_is_over_does_not(owned: Admin) -> None:
    subject = owned.app.callers._proxy.subject(await owned.directory(), "other@example.com")  # type: ignore[union-attr]
    cookie = f"modelmux_session={await owned.session(subject)}"
    assert [one["name"] for one in (await get(owned, OWN, cookie=cookie)).json()["data"]] == ["other"]
    owned.time += 12 * 3_600_000_000
    assert len((await get(owned, OWN, cookie=cookie)).json()["data"]) > 1
    assert code_of(await get(owned, cookie=cookie)) == (401, "session_over")


async def test_wrong_tokens_of_a_proxy_do_not_lock_out_who_is_signed_in(admin: Admin) -> None:
    for _ in range(FAILURES + 1):
        await get(admin, authorization="Bearer wrong")
    assert (await get(admin, authorization="Bearer wrong")).status == 429
    assert (await get(admin, OWN)).status == 200


async def write(admin: Admin, *sent: tuple[str, str], token: str | None = "", **headers: str) -> Response:
    """:param token: of the form; empty for that of the person, None to leave it out."""
    extra = {} if token is None else {"x-csrf-token": token or await csrf(admin)}
    named = {name.replace("-", "_"): value for name, value in (extra | headers).items()}
    return await send(admin.app, "POST", f"{API}/teams", OWN, *sent, body={"name": "new"}, **named)


async def test_a_page_of_this_listener_writes_and_the_audit_log_names_the_person(owned: Admin) -> None:
    made = await write(owned, **SAME)
    assert made.status == 201, made.body
    row = (await owned.ok("GET", "/audit"))["data"][0]
    assert (row["author"], row["origin"]) == ("usr_own", PROXY)


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"origin": "null"}, {"origin": "https://evil.example"}, {"origin": "http://127.0.0.1:8000"},
        {"origin": f"http://{HOST}", "sec-fetch-site": "cross-site"}, {"sec-fetch-site": "none"},
        {"origin": f"http://{HOST}", "sec-fetch-site": "same-site"}, {"origin": f"http://{HOST}.evil.example"},
    ],
)  # fmt: skip
async def test_a_page_of_another_site_does_not_write(owned: Admin, headers: dict[str, str]) -> None:
    before = (await owned.directory()).version
    assert code_of(await write(owned, **headers)) == (403, "origin_not_allowed")
    assert (await owned.directory()).version == before


@pytest.mark.parametrize("sent", ["nothing", "wrong", "of another person", "of a session"])
async def test_every_write_needs_the_csrf_token_of_its_person(owned: Admin, sent: str) -> None:
    tokens = {"wrong": "wrong", "of another person": await csrf(owned, "other@example.com")}
    tokens["of a session"] = csrf_of(await owned.session())
    extra = [("x-csrf-token", tokens[sent])] if sent in tokens else []
    before = (await owned.directory()).version
    writes = [one for one in OPERATIONS if one.writes]
    assert len(writes) > 20
    for operation in writes:
        path = API + re.sub(r"{\w+}", "key_own", operation.path)
        response = await send(owned.app, operation.method, path, OWN, *SAME.items(), *extra, body={})
        assert code_of(response) == (403, "csrf_token"), operation
    assert (await owned.directory()).version == before


async def test_nodes_of_one_pepper_take_the_pages_of_each_other(owned: Admin) -> None:
    subject = owned.app.callers._proxy.subject(await owned.directory(), "own@example.com")  # type: ignore[union-attr]
    sources = {"same": [PEPPER], "before": [OTHER_PEPPER], "both": [OTHER_PEPPER, PEPPER]}
    tokens = {}
    for name, peppers in sources.items():
        one = ProxySignIn(TrustedHeader("a", ("::/0",)), partial(Issuer, peppers, lambda: 0.0))
        tokens[name] = await one.csrf_tokens(subject)
    assert tokens["same"] == (await csrf(owned),)
    assert tokens["both"] == tokens["before"] + tokens["same"]
    assert tokens["before"] != tokens["same"]


async def test_a_page_of_before_a_new_pepper_writes(tmp_path: Path) -> None:
    peppers = [PEPPER]
    source = TrustedHeader("x-forwarded-email", (f"{PROXY}/32",))
    one = Admin(tmp_path, proxy=ProxySignIn(source, lambda: Issuer(peppers, lambda: 0.0), ROLES))  # type: ignore[arg-type]
    await organisation(one)
    before = await csrf(one)
    peppers[:] = [OTHER_PEPPER, PEPPER]
    assert (await write(one, token=before, **SAME)).status == 201
    peppers[:] = [OTHER_PEPPER]
    assert code_of(await write(one, token=before, **SAME)) == (403, "csrf_token")
    await one.aclose()


async def test_reads_need_no_pepper(tmp_path: Path) -> None:
    def lost() -> Issuer:
        raise ConfigError(["accounts.peppers: lost"])

    one = Admin(tmp_path, proxy=ProxySignIn(TrustedHeader("x-forwarded-email", (f"{PROXY}/32",)), lost))
    await organisation(one)
    assert (await get(one, OWN)).status == 200
    assert (await write(one, token="x", **SAME)).status != 201
    await one.aclose()


class Keys(FindsKeys):
    def __init__(self) -> None:
        self.kids = {"one"}
        self.is_down = False

    async def find(self, kid: str) -> str | None:
        if self.is_down:
            raise SigningKeysUnavailable.of("it answered with status 500")
        return public_pem(kid).decode() if kid in self.kids else None


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def google(tmp_path: Path, keys: Keys) -> AsyncIterator[Admin]:
    """Behind the Identity-Aware Proxy."""
    source = IapAssertion(AUDIENCE, keys, lambda: NOW / 1e6)
    one = Admin(tmp_path, proxy=ProxySignIn(source, issuer))
    await organisation(one)
    yield one
    await one.aclose()


def signed(**changes: Any) -> tuple[str, str]:
    kid = changes.pop("kid", "one")
    return iap.HEADER, assertion(claims(NOW / 1e6, **changes), kid)


async def test_the_identity_aware_proxy_signs_in_from_anywhere(google: Admin) -> None:
    for client in ((PROXY, 1), ("198.51.100.9", 1), None):
        response = await get(google, signed(), client=client)
        assert [one["name"] for one in response.json()["data"]] == ["own"]


async def test_headers_that_are_not_signed_name_no_one(google: Admin) -> None:
    plain = ("x-goog-authenticated-user-email", "accounts.google.com:own@example.com")
    assert code_of(await get(google, plain, OWN)) == (401, "invalid_api_key")


#: Made by each test, since signatures are random.
FORGED: dict[str, Callable[[], str]] = {
    "another service": lambda: signed(aud="/projects/1/apps/other")[1],
    "expired": lambda: signed(exp=NOW / 1e6 - 31)[1],
    "another issuer": lambda: signed(iss="https://evil.example")[1],
    "no signature": lambda: unsigned(claims(NOW / 1e6), {"alg": "none", "kid": "one"}) + ".",
    "public key as a secret": lambda: signed_by_public_key(claims(NOW / 1e6), public_pem("one")),
    "unknown key": lambda: signed(kid="two")[1],
    "signed by another key": lambda: assertion(claims(NOW / 1e6), "two", kid="one"),
    "a plain address": lambda: "own@example.com",
    "not ASCII": lambda: "é",
}


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("path", ["/keys", "/openapi.json"])
async def test_a_forged_assertion_is_refused(google: Admin, what: str, path: str) -> None:
    assert code_of(await get(google, (iap.HEADER, FORGED[what]()), path=path)) == (401, "assertion_not_valid")


async def test_two_assertions_are_refused(google: Admin) -> None:
    assert code_of(await get(google, signed(), signed())) == (401, "header_repeated")


async def test_an_assertion_of_someone_else(google: Admin) -> None:
    assert code_of(await get(google, signed(email="new@example.com"))) == (403, "person_unknown")
    await google.edit(lambda d: save_person(d, Person(id="usr_own", email="own@example.com", status="disabled")))
    assert code_of(await get(google, signed())) == (403, "person_disabled")


async def test_a_key_that_google_adds_and_removes(google: Admin, keys: Keys) -> None:
    keys.kids = {"two"}
    assert (await get(google, signed(kid="two"))).status == 200
    assert (await get(google, signed())).status == 401


async def test_without_the_keys_of_google_no_one_is_signed_in_and_tokens_go_on(google: Admin, keys: Keys) -> None:
    keys.is_down = True
    response = await get(google, signed())
    assert code_of(response) == (503, "signing_keys_unavailable")
    assert "admin.iap_keys_url" in response.json()["error"]["message"]
    assert response.headers["retry-after"] == "5"
    assert (await get(google, signed(), authorization="Bearer token-owner")).status == 200


async def test_a_page_of_another_site_does_not_write_through_the_proxy_of_google(google: Admin) -> None:
    for headers in ({}, {"origin": "https://evil.example"}):
        response = await send(google.app, "POST", f"{API}/keys/key_own/revoke", signed(), body={}, **headers)
        assert code_of(response) == (403, "origin_not_allowed")
    response = await send(google.app, "POST", f"{API}/keys/key_own/revoke", signed(), *SAME.items(), body={})
    assert code_of(response) == (403, "csrf_token")
    token = ("x-csrf-token", await csrf(google))
    response = await send(google.app, "POST", f"{API}/keys/key_own/revoke", signed(), *SAME.items(), token, body={})
    assert response.status == 200, response.body
    assert (await google.ok("GET", "/audit"))["data"][0]["author"] == "usr_own"
