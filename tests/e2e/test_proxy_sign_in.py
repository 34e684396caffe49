"""Sign-in by a proxy at the process of the admin API: what comes over real connections, and the keys of Google by HTTP.

Risk: what the server makes of a connection or a header is not what is compared, so somebody is somebody else.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from support.dashboard_gateway import DashboardGateway
from support.iap import AUDIENCE, HEADER, KeyServer, assertion, claims, key_server
from support.processes import Process

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="connects from several addresses of loopback"),
]
#: Where the proxy of the tests is, and somebody else.
PROXY, OTHER = "127.0.0.2", "127.0.0.3"
EMAIL = "X-Forwarded-Email"
Emulate = Callable[..., Process]


def started(folder: Any, emulate: Emulate, admin: str) -> DashboardGateway:
    """With the people ``ann``, an owner, and ``bob``, who is disabled."""
    roles = '\n[[admin.roles]]\nemail = "ann@example.com"\nrole = "owner"\n'
    one = DashboardGateway(folder, emulate().url, admin=admin + roles)
    one.api("POST", "/people", {"email": "ann@example.com"})
    bob = one.api("POST", "/people", {"email": "bob@example.com"})["id"]
    one.api("PATCH", f"/people/{bob}", {"status": "disabled"})
    return one


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, emulate: Emulate) -> Iterator[DashboardGateway]:
    admin = f'trusted_header = "{EMAIL}"\ntrusted_peers = ["{PROXY}/32"]\n'
    one = started(tmp_path_factory.mktemp("proxied"), emulate, admin)
    yield one
    one.process.stop()


@pytest.fixture(scope="module")
def google() -> Iterator[KeyServer]:
    with key_server() as server:
        yield server


@pytest.fixture(scope="module")
def behind_google(
    tmp_path_factory: pytest.TempPathFactory, emulate: Emulate, google: KeyServer
) -> Iterator[DashboardGateway]:
    admin = f'iap_audience = "{AUDIENCE}"\niap_keys_url = "{google.url}"\n'
    one = started(tmp_path_factory.mktemp("google"), emulate, admin)
    yield one
    one.process.stop()


def raw(gateway: DashboardGateway, *lines: str, source: str = PROXY) -> tuple[int, str]:
    """Status and body of a request to ``/admin/v1/people``, whose header lines are sent as they are."""
    port = httpx2.URL(gateway.url).port
    head = "\r\n".join(["GET /admin/v1/people HTTP/1.1", f"host: 127.0.0.1:{port}", *lines, "connection: close"])
    with socket.create_connection(("127.0.0.1", port), 100, source_address=(source, 0)) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode("latin-1"))
        reply = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(reply.split()[1]), reply.partition(b"\r\n\r\n")[2].decode()


def test_the_header_counts_from_the_proxy_alone(proxied: DashboardGateway) -> None:
    line = f"{EMAIL}: ann@example.com"
    assert raw(proxied, line)[0] == 200
    assert raw(proxied, line.upper())[0] == 200
    for more in ([], [f"X-Forwarded-For: {PROXY}"], [f"Forwarded: for={PROXY}"], [f"X-Real-IP: {PROXY}"]):
        assert raw(proxied, line, *more, source=OTHER)[0] == 401
    assert raw(proxied, f"{EMAIL}: bob@example.com")[0] == 403
    assert raw(proxied, line, "Authorization: Bearer wrong")[0] == 401


@pytest.mark.parametrize(
    ("lines", "statuses"),
    [
        ([f"{EMAIL}: ann@example.com", f"{EMAIL}: bob@example.com"], {401}),
        ([f"{EMAIL}: bob@example.com", f"{EMAIL.lower()}: ann@example.com"], {401}),
        ([f"{EMAIL}: bob@example.com, ann@example.com"], {403}),
        ([f"{EMAIL}: nobody@example.com", " ann@example.com"], {400}),
        ([f"{EMAIL}:", " ann@example.com"], {400}),
        (["x-other: a", f" {EMAIL}: ann@example.com"], {400}),
        (["x_forwarded_email: ann@example.com"], {401}),
        (["x-forwarded_email: ann@example.com"], {401}),
        ([f"{EMAIL} : ann@example.com"], {400}),
        ([f"{EMAIL}\t: ann@example.com"], {400}),
        ([f"x-other: a\n{EMAIL}: ann@example.com"], {400}),
        ([f"x-other: a\r{EMAIL}: ann@example.com"], {400}),
        ([f"{EMAIL}: ann@example.com\x00"], {400}),
        ([f"{EMAIL}\x00: ann@example.com"], {400}),
    ],
)
def test_a_header_that_has_two_readings_names_no_one(
    proxied: DashboardGateway, lines: list[str], statuses: set[int]
) -> None:
    status, body = raw(proxied, *lines)
    assert status in statuses, body
    assert "bob@example.com" not in body


def test_the_dashboard_and_the_audit_log(proxied: DashboardGateway) -> None:
    transport = httpx2.HTTPTransport(local_address=PROXY)
    headers = {EMAIL: "ann@example.com"}
    with httpx2.Client(base_url=proxied.url, transport=transport, headers=headers, timeout=100) as ann:
        assert "Sign in" not in ann.get("/dashboard").raise_for_status().text
        you = ann.get("/dashboard/session.json").raise_for_status().json()
        assert (you["name"], you["role"]) == ("ann@example.com", "owner")
        form = {"csrf": you["csrf_token"], "name": "made behind a proxy"}
        refused = ann.post("/dashboard/keys", data=form, headers={"origin": "https://evil.example"})
        assert refused.status_code in (403, 415)
        refused = ann.post("/admin/v1/keys", json={"name": "x"}, headers={"x-csrf-token": you["csrf_token"]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
        assert ann.post("/dashboard/keys", data=form, headers={"origin": proxied.url}).status_code == 200
    row = proxied.api("GET", "/audit")["data"][0]
    people = proxied.api("GET", "/people")["data"]
    assert row["author"] == next(one["id"] for one in people if one["email"] == "ann@example.com")
    assert row["origin"] == PROXY


def test_the_identity_aware_proxy(behind_google: DashboardGateway, google: KeyServer) -> None:
    def status(text: str, **headers: str) -> int:
        url = f"{behind_google.url}/admin/v1/people"
        return httpx2.get(url, headers={HEADER: text} | headers, timeout=100).status_code

    now = time.time()
    good = assertion(claims(now, email="ann@example.com"))
    google.status = 500
    assert status(good) == 503, "whether it is good cannot be known"
    google.status = 200
    deadline = now + 100
    while status(good) == 503 and time.time() < deadline:  # it tries again after five seconds
        time.sleep(0.2)
    assert status(good) == 200
    assert status(good, Authorization="Bearer wrong") == 401
    assert status(assertion(claims(now, email="bob@example.com"))) == 403
    assert status(assertion(claims(now, email="ann@example.com", aud="/projects/1/apps/x"))) == 401
    assert status(assertion(claims(now - 3600, email="ann@example.com"))) == 401
    assert status(assertion(claims(now, email="ann@example.com"), "two", kid="one")) == 401
    assert status("a.b.c") == 401
