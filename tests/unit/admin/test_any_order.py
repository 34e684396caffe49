"""Risk: some order of writes, repetitions and lost replies leaves a key without a secret that its owner has.

Any calls in any order, against a model of a few lines: what a client was told last holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from support.admin import Admin
from support.asgi import Response


class Calls(RuleBasedStateMachine):
    """:ivar known: id of a key -> its name, status, hint and etag as the last reply had them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp())
        self.admin = Admin(self.folder)
        self.known: dict[str, dict[str, Any]] = {}
        self.stale: dict[str, str] = {}
        self.sent: list[tuple[str, dict[str, Any], str]] = []  # POSTs with their keys
        self.numbers = itertools.count()

    def teardown(self) -> None:
        with contextlib.closing(self.loop):
            self.loop.run_until_complete(self.admin.aclose())
        shutil.rmtree(self.folder)

    def call(self, method: str, path: str, body: Any = b"", **headers: str) -> Response:
        self.admin.time += 1_000_000
        return self.loop.run_until_complete(self.admin.call(method, path, body, **headers))

    def remember(self, response: Response) -> None:
        assert response.status < 300, response.body
        key = response.json()
        if key["id"] in self.known:
            self.stale[key["id"]] = self.known[key["id"]]["etag"]
        self.known[key["id"]] = {name: key[name] for name in ("name", "status", "hint")} | {
            "etag": response.headers["etag"]
        }

    def post(self, path: str, body: dict[str, Any]) -> None:
        name = f"call-{next(self.numbers)}"
        self.remember(self.call("POST", path, body, idempotency_key=name))
        self.sent.append((path, body, name))

    @rule()
    def create(self) -> None:
        self.post("/keys", {"name": f"key-{next(self.numbers)}"})

    @precondition(lambda self: self.known)
    @rule(data=st.data(), grace=st.sampled_from([0, 60, 86_400]))
    def rotate(self, data: st.DataObject, grace: int) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        if self.known[id]["status"] == "revoked":
            assert self.call("POST", f"/keys/{id}/rotate", {"grace": grace}).status == 409
        else:
            self.post(f"/keys/{id}/rotate", {"grace": grace})

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """As after a reply that was lost. It is refused only if the key was rotated again or revoked since."""
        path, body, name = data.draw(st.sampled_from(self.sent))
        before = len(self.keys())
        response = self.call("POST", path, body, idempotency_key=name)
        if response.status == 409:
            assert response.json()["error"]["code"] in ("rotated", "revoked")
        else:
            self.remember(response)
        assert len(self.keys()) == before
        assert self.call("POST", path, {"wrong": 1}, idempotency_key=name).status == 400

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        self.remember(self.call("POST", f"/keys/{id}/revoke", {}))

    @precondition(lambda self: self.known)
    @rule(data=st.data(), is_stale=st.booleans())
    def edit(self, data: st.DataObject, is_stale: bool) -> None:
        id = data.draw(st.sampled_from(sorted(self.known)))
        now = self.known[id]
        etag = self.stale.get(id, '"never"') if is_stale else now["etag"]
        response = self.call("PATCH", f"/keys/{id}", {"name": f"key-{next(self.numbers)}"}, if_match=etag)
        if etag != now["etag"]:
            assert response.status == 412
        elif now["status"] == "revoked":
            assert response.status == 409
        else:
            self.remember(response)

    def keys(self) -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = self.call("GET", "/keys", query="limit=1000").json()["data"]
        return data

    @invariant()
    def what_was_told_last_holds(self) -> None:
        shown = {one["id"]: {name: one[name] for name in ("name", "status", "hint")} for one in self.keys()}
        told = {id: {name: one[name] for name in ("name", "status", "hint")} for id, one in self.known.items()}
        assert shown == told

    @invariant()
    def a_key_has_one_current_secret(self) -> None:
        directory = self.loop.run_until_complete(self.admin.directory())
        for id in self.known:
            current = [one for one in directory.secrets_of(id) if one.valid_until is None]
            assert len(current) == 1


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
