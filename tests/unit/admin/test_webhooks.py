"""``/webhooks``. Risk: a secret in a second reply, a URL that leads inside, a test that is sent twice, or one that the
configuration manages is changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from modelmux.accounts.webhooks import secret_of
from support.admin import PEPPER, Admin, text_of

URL = "https://hooks.example.com/services/canary-path"
FORM = {"name": "slack", "url": URL, "events": ["key.expiring"]}


async def test_the_secret_is_in_no_reply_but_that_of_its_creation(admin: Admin) -> None:
    made = await admin.ok("POST", "/webhooks", FORM)
    path = f"/webhooks/{made['id']}"
    assert made["secret"] == secret_of(PEPPER, made["id"])
    assert made["hint"] == f"{made['secret'][:11]}...{made['secret'][-4:]}"
    test = await admin.ok("POST", f"{path}/test")
    assert (test["status"], test["type"], test["attempts"]) == ("pending", "webhook.test", 0)
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/webhooks", b""), ("GET", path, b""), ("PATCH", path, {"name": "other"}), ("POST", "/webhooks", FORM),
        ("POST", "/webhooks", {**FORM, "name": "OTHER"}), ("GET", f"{path}/deliveries", b""), ("GET", "/audit", b""),
        ("GET", "/openapi.json", b""), ("GET", "/status", b""), ("POST", f"{path}/test", b""), ("DELETE", path, b""),
    ]  # fmt: skip
    for method, where, body in calls:
        response = await admin.call(method, where, body)
        second = response.json().get("secret") if method == "POST" and response.status == 201 else None
        assert made["secret"] not in text_of(response), where
        assert second is None or second != made["secret"]
    assert made["secret"].encode() not in admin.path.read_bytes()
    with closing(sqlite3.connect(admin.path)) as connection:
        assert made["secret"] not in "\n".join(connection.iterdump())


async def test_the_audit_log_has_every_write_and_no_path_of_a_url(admin: Admin) -> None:
    made = await admin.ok("POST", "/webhooks", FORM)
    path = f"/webhooks/{made['id']}"
    await admin.ok("PATCH", path, {"status": "disabled"})
    await admin.ok("PATCH", path, {"status": "active"})
    await admin.ok("POST", f"{path}/test")
    await admin.ok("DELETE", path)
    response = await admin.call("GET", "/audit", role="auditor")
    assert [one["action"] for one in response.json()["data"]] == [
        "webhook.delete", "webhook.test", "webhook.edit", "webhook.edit", "webhook.create",
    ]  # fmt: skip
    assert "canary-path" not in text_of(response)
    assert "https://hooks.example.com/…" in response.json()["data"][-1]["after"][made["id"]]["url"]


async def test_what_was_changed_reads_back(admin: Admin) -> None:
    made = await admin.ok("POST", "/webhooks", {"name": "a", "url": URL})
    path = f"/webhooks/{made['id']}"
    first = await admin.call("GET", path)
    assert {**made, "secret": 0} == {**first.json(), "secret": 0}
    assert (first.json()["events"], first.json()["status"], first.json()["managed"]) == ([], "active", False)
    changed = await admin.ok(
        "PATCH", path, {"name": "b", "url": f"{URL}/2", "events": ["ledger.lag"]}, if_match=first.headers["etag"]
    )
    assert (changed["name"], changed["url"], changed["events"]) == ("b", f"{URL}/2", ["ledger.lag"])
    await admin.refused(412, "PATCH", path, {"name": "c"}, if_match=first.headers["etag"])
    await admin.refused(412, "DELETE", path, if_match=first.headers["etag"])
    await admin.ok("DELETE", path)
    for method, where in (("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/test")):
        await admin.refused(404, method, where, {} if method == "PATCH" else b"")
    assert (await admin.ok("GET", "/webhooks"))["data"] == []
    await admin.ok("POST", "/webhooks", {"name": "b", "url": URL})


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x", "https://127.0.0.1/x", "http://127.0.0.1/x", "https://localhost/x", "https://10.0.0.1/",
        "https://169.254.169.254/", "https://metadata.google.internal/", "https://[::1]/", "https://0x7f.1/",
        "https://user:pw@hooks.example.com/", "https://[::ffff:10.0.0.1]/", "https://2130706433/", "gopher://a/", "",
        "https://hooks.example.com/#x", "https://192.168.1.1:8443/",
    ],
)  # fmt: skip
async def test_s10_a_url_leads_to_a_public_host_by_https(admin: Admin, url: str) -> None:
    made = await admin.ok("POST", "/webhooks", {"name": "good", "url": URL})
    for method, path, body in (
        ("POST", "/webhooks", {"name": "bad", "url": url}), ("PATCH", f"/webhooks/{made['id']}", {"url": url}),
    ):  # fmt: skip
        error = await admin.refused(400, method, path, body)
        assert error["param"] == "url"
    assert (await admin.ok("GET", f"/webhooks/{made['id']}"))["url"] == URL


async def test_networks_that_the_operator_allows(tmp_path: Path) -> None:
    admin = Admin(tmp_path, {"webhook_networks": ["127.0.0.0/8", "10.1.0.0/16"]})
    try:
        for index, url in enumerate(("http://127.0.0.1:8080/x", "https://10.1.2.3/")):
            await admin.ok("POST", "/webhooks", {"name": str(index), "url": url})
        for url in ("http://10.1.2.3/", "https://10.2.0.1/", "https://169.254.169.254/"):
            await admin.refused(400, "POST", "/webhooks", {"name": "bad", "url": url})
    finally:
        await admin.aclose()


async def test_that_of_the_configuration_is_shown_and_tested_and_not_changed(tmp_path: Path) -> None:
    admin = Admin(
        tmp_path, {"webhook": "http://inside/canary-path", "webhook_secret": "a-long-canary-secret-of-a-webhook"}
    )
    try:
        listed = await admin.call("GET", "/webhooks")
        (shown,) = listed.json()["data"]
        assert (shown["id"], shown["managed"], shown["url"]) == ("whk_configuration", True, "http://inside/…")
        assert "canary" not in text_of(listed)
        for method, body in (("PATCH", {"name": "x"}), ("DELETE", b"")):
            error = await admin.refused(409, method, "/webhooks/whk_configuration", body)
            assert error["code"] == "managed"
        sent = await admin.ok("POST", "/webhooks/whk_configuration/test")
        assert (await admin.ok("GET", "/webhooks/whk_configuration/deliveries"))["data"] == [sent]
    finally:
        await admin.aclose()


async def test_a_repetition_makes_one_webhook_and_sends_one_test(admin: Admin) -> None:
    first = await admin.ok("POST", "/webhooks", FORM, idempotency_key="one")
    assert await admin.ok("POST", "/webhooks", FORM, idempotency_key="one") == first, "the reply may have been lost"
    other = await admin.ok("POST", "/webhooks", {**FORM, "name": "other"})
    path = f"/webhooks/{first['id']}"
    sent = await admin.ok("POST", f"{path}/test", idempotency_key="two")
    assert await admin.ok("POST", f"{path}/test", idempotency_key="two") == sent
    error = await admin.refused(409, "POST", f"/webhooks/{other['id']}/test", idempotency_key="two")
    assert error["code"] == "idempotency_key_reused"
    await admin.ok("POST", f"{path}/test")
    assert len((await admin.ok("GET", f"{path}/deliveries"))["data"]) == 2


async def test_deliveries_come_in_pages(admin: Admin) -> None:
    path = f"/webhooks/{(await admin.ok('POST', '/webhooks', FORM))['id']}"
    sent = [(await admin.ok("POST", f"{path}/test"))["id"] for _ in range(5)]
    seen, after = [], ""
    while after is not None:
        page = await admin.ok("GET", f"{path}/deliveries", query=f"limit=2&after={after}")
        seen += [one["id"] for one in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        after = page["next"]
    assert seen == sent[::-1]
    assert (await admin.refused(400, "GET", f"{path}/deliveries", query="after=x"))["param"] == "after"


async def test_one_that_is_disabled_is_not_tested(admin: Admin) -> None:
    path = f"/webhooks/{(await admin.ok('POST', '/webhooks', FORM))['id']}"
    await admin.ok("PATCH", path, {"status": "disabled"})
    assert (await admin.refused(409, "POST", f"{path}/test"))["code"] == "disabled"
