"""Risk: a receiver that follows the documentation takes a forged event, or shows one twice; or nothing arrives at all.

The whole gateway with the real store and real connections, and the program of docs/accounts.md as it is printed there.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelmux import Config
from modelmux.app import Gateway
from modelmux.gateway.metering.webhook import signature
from modelmux.runtime import Runtime
from support.admin import PEPPER, Admin
from support.asgi import request
from support.fakes import FakeTokens, FakeUpstream, message_reply
from support.gateway import PATH, PROJECT, ask
from support.http_peers import until
from support.processes import free_port

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "accounts.md").read_text("utf-8")
(PROGRAM,) = (one for one in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "do_POST" in one)
SECRET = "mmx-hook-of-this-test"


class Receiver:
    """The documented program, with what it printed."""

    def __init__(self, folder: Path, port: int, secret: str = SECRET) -> None:
        self.port = port
        self.output = folder / "receiver.out"
        program = folder / "receiver.py"
        program.write_text(PROGRAM)
        environment = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(program)], env=environment, stdout=out, stderr=subprocess.DEVNULL
            )

    @property
    def shown(self) -> list[Any]:
        return [eval(line) for line in self.output.read_text().splitlines()]

    def post(self, body: bytes, **headers: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=100)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request("POST", "/hook", body, sent)
            return connection.getresponse().status
        finally:
            connection.close()

    def wait(self) -> None:
        """Until it listens."""
        deadline = time.monotonic() + 100
        while time.monotonic() < deadline:
            try:
                self.post(b"")
            except ConnectionRefusedError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("it does not listen")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(100)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver(tmp_path, free_port())
    receiver.wait()
    yield receiver
    receiver.close()


def test_s12_a_forged_or_old_event_is_refused_and_a_second_one_is_not_shown(receiver: Receiver) -> None:
    body, now = b'{"type": "webhook.test"}', int(time.time())
    good = f"t={now},v1={signature(SECRET.encode(), body, now)}"
    old = f"t={now - 400},v1={signature(SECRET.encode(), body, now - 400)}"
    for wrong in (
        "", "t=,v1=", "v1=", f"t={now}", f"t={now},v1=", f"t={now},v1=\xe4", good.replace("t=", "t=1"), old,
        f"t={now},v1={signature(b'other', body, now)}", f"t={now},v1={signature(b'', body, now)}",
    ):  # fmt: skip
        assert receiver.post(body, x_modelmux_signature=wrong, x_modelmux_delivery="dlv_a") == 401, wrong
    assert receiver.post(body + b" ", x_modelmux_signature=good, x_modelmux_delivery="dlv_a") == 401
    for delivery in ("dlv_a", "dlv_a", "dlv_b"):
        assert receiver.post(body, x_modelmux_signature=good, x_modelmux_delivery=delivery) == 204
    assert receiver.shown == [json.loads(body)] * 2


def test_s38_a_receiver_without_a_secret_does_not_start(tmp_path: Path) -> None:
    receiver = Receiver(tmp_path, free_port(), secret="")
    assert receiver.process.wait(100) == 1


async def test_what_happens_in_a_gateway_arrives_once_and_verified(tmp_path: Path) -> None:
    admin = Admin(tmp_path, {"webhook_networks": ["127.0.0.0/8"]})
    admin.time = int(time.time() * 1e6)
    port = free_port()
    hook = await admin.ok("POST", "/webhooks", {"name": "r", "url": f"http://127.0.0.1:{port}/hook"})
    key = await admin.ok("POST", "/keys", {"name": "ci", "expires_at": "2999-01-01T00:00:00Z"})
    await admin.ok("POST", "/budgets", {"limit": "1", "unit": "requests", "mode": "soft", "alerts": [1]})
    accounts = {
        "enabled": True, "store": f"sqlite:{admin.path}", "peppers": [PEPPER.decode()],
        "webhook_networks": ["127.0.0.0/8"],
    }  # fmt: skip
    upstream = FakeUpstream([message_reply() for _ in range(3)])
    config = Config.from_dict({"vertex": {"project": PROJECT, "location": "global"}, "accounts": accounts})
    app = Gateway(config, upstream=upstream, tokens=FakeTokens(), environment={}, runtime=Runtime())
    await app.startup()
    for _ in range(3):
        headers = {"authorization": f"Bearer {key['secret']}"}
        assert (await request(app, "POST", PATH, ask(), headers)).status == 200
    sent = await admin.ok("POST", f"/webhooks/{hook['id']}/test")

    async def deliveries() -> dict[str, Any]:
        admin.time += 1_000_000  # for the limit of calls
        await asyncio.sleep(0.05)
        return {one["type"]: one for one in (await admin.ok("GET", f"/webhooks/{hook['id']}/deliveries"))["data"]}

    known = await deliveries()
    while len(known) < 2 or not any(one["attempts"] for one in known.values()):  # nothing listens yet
        known = await deliveries()
    receiver = Receiver(tmp_path, port, hook["secret"])
    await until(lambda: len(receiver.shown) == 2)
    known = await deliveries()
    while any(one["status"] == "pending" for one in known.values()):
        known = await deliveries()
    await app.aclose()
    shown = {one["type"]: one for one in receiver.shown}
    receiver.close()
    assert sorted(shown) == ["budget.threshold", "webhook.test"]
    assert (shown["budget.threshold"]["percent"], shown["budget.threshold"]["unit"]) == (100, "requests")
    assert known["webhook.test"]["id"] == sent["id"]
    assert {one["response_status"] for one in known.values()} == {204}
    await admin.aclose()
