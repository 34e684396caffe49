"""The admin API over a real store, called in-process, and a small organisation in it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_key, save_person, save_team, set_member
from modelmux.accounts.live_requests import (
    EndLive,
    LiveAnswer,
    LiveEnd,
    LiveList,
    LiveQuestion,
    LiveRequest,
    matches,
)
from modelmux.accounts.records import Key, Person, Team
from modelmux.accounts.roles import ROLES, Principal
from modelmux.accounts.sign_ins import OWNER, Subject
from modelmux.admin.app import AdminApp
from modelmux.admin.backend import Answers, Backend, WorkerState
from modelmux.admin.open_backend import open_stores
from modelmux.admin.sessions import Sessions
from modelmux.config import Config
from modelmux.store.directory.base import Author
from modelmux.store.directory.issuer import Issuer, NewIds
from modelmux.store.directory.sqlite_directory import SqliteDirectory
from modelmux.store.ledger.open_ledger import open_ledger
from modelmux.store.sign_in_file import SignInFile, sign_in_path
from modelmux.telemetry.counted import Counted
from support import asgi
from support.directories import NOW
from support.log_lines import Lines

PEPPER = b"canary-pepper-canary-pepper-canary-pepper"
#: Role -> its principal. Teams: ``team_top`` > ``team_own`` > ``team_low``, and ``team_other``.
PRINCIPALS = {
    role: Principal(
        name=role, role=role, teams=("team_own",) if role == "team_admin" else (),
        person="usr_own" if role == "member" else None,
    )
    for role in ROLES
}  # fmt: skip


class Admin:
    """
    :ivar pending: workers that do not have a change in time. :ivar wrong_by: microseconds of the clock of days.
    :ivar live: number of a worker -> the requests that it runs. :ivar silent: workers that do not answer.
    :ivar asked: questions to workers. :ivar over: ids of requests that end by themselves before they can be ended.
    """

    def __init__(
        self, folder: Path, accounts: dict[str, Any] | None = None, *, traces: bool | None = None, **options: Any
    ) -> None:
        self.path = folder / "accounts.db"
        self.log = Lines()
        self.counted = Counted()
        self.workers: tuple[WorkerState, ...] = ()
        self.time = NOW
        self.wrong_by = 0
        self.pending = 0
        self.awaited: list[int] = []
        self.live: dict[int, list[LiveRequest]] = {}
        self.silent: set[int] = set()
        self.asked: list[LiveQuestion] = []
        self.over: set[str] = set()
        config = Config.from_dict({
            "vertex": {"project": "secret-project-42", "location": "global"},
            "accounts": {"enabled": True, "store": f"sqlite:{self.path}", "tags": ["app"]} | (accounts or {}),
            "admin": {"listen": "127.0.0.1:3001"}, "traces": {} if traces is None else {"enabled": traces},
        })  # fmt: skip
        if config.accounts.enabled:
            self.store, self.ledger = SqliteDirectory(self.path), open_ledger(config)
        else:
            self.store, self.ledger = open_stores(config, self.log)  # type: ignore[assignment, arg-type]
        self.backend = Backend(
            config=config,
            directory=self.store,
            rows=self.ledger,
            ids=NewIds(self._seconds),
            issuer=lambda: Issuer([PEPPER], self._seconds),
            now=self._now,
            clock=self._seconds,
            await_workers=self._await_workers,
            workers=lambda: self.workers,
            counted=lambda: self.counted,
            ask_workers=self._ask_workers,
            state_directory=folder,
        )
        self.sign_ins = SignInFile(sign_in_path(self.path))
        self.sessions = Sessions(self.sign_ins, "owner-token", self._now)
        options.setdefault("sessions", self.sessions)
        self.app = AdminApp(self.backend, lambda token: PRINCIPALS.get(token.removeprefix("token-")), **options)  # type: ignore[call-overload]

    async def call(
        self, method: str, path: str, body: Any = b"", role: str | None = "owner", *, query: str = "", **headers: str
    ) -> asgi.Response:
        """:param path: below ``/admin/v1``. :param headers: ``if_match`` and so on."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent.setdefault("authorization", f"Bearer token-{role}")
        return await asgi.request(self.app, method, f"/admin/v1{path}", body, sent, query=query)

    async def ok(self, method: str, path: str, body: Any = b"", role: str = "owner", **options: Any) -> Any:
        response = await self.call(method, path, body, role, **options)
        assert response.status < 300, (response.status, response.body)
        return response.json()

    async def refused(self, status: int, method: str, path: str, body: Any = b"", **options: Any) -> dict[str, Any]:
        """The error, with all of its fields."""
        response = await self.call(method, path, body, **options)
        assert response.status == status, (response.status, response.body)
        error: dict[str, Any] = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return error

    async def session(self, subject: Subject = OWNER) -> str:
        """The token of a new session."""
        link = await asyncio.to_thread(self.sessions.new_link, subject)
        token = await self.sessions.sign_in(link, await self.directory())
        assert token is not None
        return token

    async def aclose(self) -> None:
        await self.store.aclose()
        if self.ledger is not None:
            await self.ledger.aclose()

    async def edit(self, decide: Callable[[Directory], Edit]) -> Directory:
        return (await self.store.change(decide, Author("test", "cli"), NOW))[0]

    async def directory(self) -> Directory:
        return await self.store.read(Directory())

    def _now(self) -> int:
        self.time += 1
        return self.time + self.wrong_by

    def _seconds(self) -> float:
        return self.time / 1_000_000

    async def _ask_workers(self, question: LiveQuestion, worker: int | None = None) -> Answers:
        self.asked.append(question)
        asked = [number for number in self.live if worker in (None, number)]
        return Answers(
            {number: self._answer(number, question) for number in asked if number not in self.silent},
            [number for number in asked if number in self.silent],
        )

    def _answer(self, number: int, question: LiveQuestion) -> LiveAnswer:
        running = self.live[number]
        if isinstance(question, EndLive):
            self.live[number] = [one for one in running if one.id != question.id]
            return LiveEnd(ended=len(self.live[number]) < len(running) and question.id not in self.over)
        chosen = [one for one in running if matches(question, one)]
        return LiveList(requests=chosen[: question.limit], more=max(0, len(chosen) - question.limit))

    async def _await_workers(self, version: int) -> int:
        self.awaited.append(version)
        return self.pending


async def organisation(admin: Admin) -> None:
    """Teams, people and keys: what each role may see of them is in the names."""
    for id, parent in (("top", None), ("own", "team_top"), ("low", "team_own"), ("other", "team_top")):
        await admin.edit(lambda d, id=id, parent=parent: save_team(d, Team(id=f"team_{id}", name=id, parent=parent)))  # type: ignore[misc]
    for id in ("own", "other"):
        person = Person(id=f"usr_{id}", email=f"{id}@example.com")
        await admin.edit(lambda d, person=person: save_person(d, person))  # type: ignore[misc]
        await admin.edit(lambda d, id=id: set_member(d, f"usr_{id}", f"team_{id}", "member"))  # type: ignore[misc]
    for id, team, owner in (
        ("own", "team_own", "usr_own"), ("service", "team_own", None), ("low", "team_low", None),
        ("top", "team_top", None), ("other", "team_other", "usr_other"), ("free", None, None),
    ):  # fmt: skip
        key = Key(id=f"key_{id}", name=id, team=team, person=owner, created=NOW)
        await admin.edit(lambda d, key=key: save_key(d, key))  # type: ignore[misc]


def live_request(id: str, **fields: Any) -> LiveRequest:
    """One that runs, of ``key_own``."""
    usual = {
        "request_id": f"x-{id}", "row": None, "age": 1.5, "first_content": None, "key": "key_own", "person": "usr_own",
        "team": "team_top/team_own", "dialect": "openai_chat", "operation": "generate", "requested_model": "fast",
        "route": "fast", "model": "claude-sonnet-4-6", "location": None, "deployment": None, "stream": True,
        "state": "waiting", "attempts": 0, "output_tokens": None, "estimated": False, "held": None,
        "response_bytes": 0,
    }  # fmt: skip
    return LiveRequest(id=id, **(usual | fields))


Run = Callable[[Admin], Awaitable[None]]


def text_of(response: asgi.Response) -> str:
    return response.body.decode() + json.dumps(response.headers)
