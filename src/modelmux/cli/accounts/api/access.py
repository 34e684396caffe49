"""The accounts of a gateway over its admin API: a copy of the directory as the token sees it, on which commands decide
as they do on the store, and the calls that make what they decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, tzinfo
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from modelmux.accounts.adjustments import Adjustment
from modelmux.accounts.budget_windows import WindowState
from modelmux.accounts.budgets import Budget
from modelmux.accounts.directory import Changes, Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.periods import parse_instant
from modelmux.accounts.rates import Limit
from modelmux.accounts.records import Key, Person, Secret, Team
from modelmux.cli.accounts.api import records
from modelmux.cli.accounts.api.client import AdminClient, ApiError, path_of
from modelmux.cli.accounts.api.edits import ApiCall, calls_of, with_ids
from modelmux.cli.output import warn
from modelmux.config.accounts_check import zone_of
from modelmux.store.directory.base import AuditRow, Author
from modelmux.store.directory.issuer import NewIds

#: Windows of each budget that a list of budgets shows.
_LISTED: Final = 10


class _Issuer:
    """Ids and secrets by which an edit can be decided; those of the gateway take their place."""

    def __init__(self, ids: NewIds) -> None:
        self._ids = ids

    def id(self, prefix: str) -> str:
        return self._ids.id(prefix)

    def secret(self, key: str) -> tuple[str, Secret]:
        return "", Secret(digest=self._ids.id("new").encode(), key=key, created=self._ids.now())


class ApiAccess:
    """
    :param about: the list that the command needs, such as ``/keys``; of others, a token without the right sees none.
    """

    config = None

    def __init__(self, client: AdminClient, ids: NewIds, about: str) -> None:
        self._client = client
        self._about = about
        self._budgets: dict[str, Any] = {}
        self._secret = ""
        self.ids = ids
        self.author = Author("", "api")
        self.now = ids.now()

    async def read(self) -> Directory:
        lists = [await self._list(path) for path in ("/teams", "/people", "/keys", "/budgets", "/limits")]
        self._budgets = {one["id"]: one for one in lists[3]}
        return records.directory_of(*lists)

    async def secrets_of(self, directory: Directory, key: Key) -> list[Secret]:
        del directory
        return records.secrets_of(key.id, (await self._client.call("GET", path_of("keys", key.id)))["secrets"])

    async def states_of(
        self, directory: Directory, chosen: Iterable[tuple[Budget, str | None]], most: int = 100
    ) -> list[list[WindowState]]:
        del directory
        return [await self._states(budget, subject, most) for budget, subject in chosen]

    async def adjustments_of(self, directory: Directory, budget: Budget) -> list[Adjustment]:
        del directory
        shown = await self._client.call("GET", path_of("budgets", budget.id))
        return [records.adjustment_of(one, budget) for one in shown["adjustments"]]

    async def zone(self) -> tzinfo:
        try:
            name = (await self._client.call("GET", "/usage", query={"bucket": "all"}))["zone"]
            return zone_of(name)
        except ValueError:  # this machine has no such zone
            return UTC

    def end_user(self, name: str) -> str:
        return name  # the gateway hashes with what this machine does not have, and asks for the hash

    def issuer(self) -> _Issuer:
        return _Issuer(self.ids)

    async def change(self, decide: Callable[[Directory], Edit]) -> tuple[Directory, Edit]:
        directory = await self.read()
        edit = decide(directory)
        ids: dict[str, str] = {}
        answered: dict[str, Any] = {}
        for call in calls_of(directory, edit):
            answered[call.id] = _record(directory, call, await self._send(call, ids))

        def of(type: type[Any]) -> list[Any]:
            return [one for one in answered.values() if isinstance(one, type)]

        def written(sent: Iterable[Any]) -> list[Any]:
            return [answered.get(one.id, one) for one in sent]

        after = directory.updated(Changes(
            version=0, teams=of(Team), people=of(Person), keys=of(Key), budgets=of(Budget),
            adjustments=of(Adjustment), limits=of(Limit),
        ))  # fmt: skip
        return after, replace(
            edit, subject=ids.get(edit.subject, edit.subject), teams=written(edit.teams), people=written(edit.people),
            keys=written(edit.keys), budgets=written(edit.budgets), adjustments=written(edit.adjustments),
            limits=written(edit.limits),
        )  # fmt: skip

    def text_of(self, issued: str) -> str:
        del issued
        return self._secret

    async def audit(self, subject: str | None, limit: int) -> list[AuditRow]:
        rows = await self._client.pages("/audit", {"subject": subject} if subject is not None else {}, limit)
        return [
            AuditRow(
                number=int(row["id"]), at=parse_instant(row["at"]), author=Author(row["author"], row["origin"]),
                action=row["action"], subject=row["subject"], before_json=_raw(row["before"]),
                after_json=_raw(row["after"]),
            )
            for row in rows
        ]  # fmt: skip

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _list(self, path: str) -> list[Any]:
        try:
            return await self._client.pages(path)
        except ApiError as error:
            if error.status == 403 and path != self._about:
                return []
            raise

    async def _states(self, budget: Budget, subject: str | None, most: int) -> list[WindowState]:
        if not subject and most == _LISTED:
            shown = self._budgets[budget.id]["windows"]
        else:
            query = {"limit": str(most), **({"subject": subject} if subject else {})}
            shown = (await self._client.call("GET", path_of("budgets", budget.id, "windows"), query=query))["data"]
        return [records.window_state_of(one, budget) for one in shown]

    async def _send(self, call: ApiCall, ids: dict[str, str]) -> Any:
        try:
            shown = await self._client.call(call.method, call.path, with_ids(call.body, ids))
        except ApiError as error:
            if not self._secret:
                raise
            hint = f"The key was created: `modelmux keys rotate {next(iter(ids.values()))}` shows another secret."
            raise ApiError(error.message, hint, status=error.status) from None
        if pending := shown.get("pending_workers"):
            warn([f"{pending} workers of the gateway do not have the change yet"])
        self._secret = shown.get("secret", self._secret)
        ids[call.id] = shown["id"]
        return shown


def _raw(records: dict[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(records))


def _record(directory: Directory, call: ApiCall, shown: Any) -> Any:
    """What a reply shows."""
    match call.kind:
        case "team":
            return records.team_of(shown)[0]
        case "person":
            return records.person_of(shown)
        case "key":
            return records.key_of(shown)
        case "budget":
            return records.budget_of(shown)
        case "limit":
            return records.limit_of(shown)
    return records.adjustment_of(shown, directory.budgets[shown["budget"]])
