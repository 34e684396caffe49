"""``/keys``: virtual keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.budget_windows import budgets_of_key
from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, replace_secret, revoke_key, rotate_key, save_key
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import KEY, Key, KeyStatus, Secret, Status
from modelmux.accounts.views import KeyView, SecretView, key_view, plain, secret_views
from modelmux.admin.forms import RateForm, rates_after
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.references import key_at, named_person, named_team
from modelmux.admin.spending import BudgetState, states_of_chains
from modelmux.admin.writes import change, changed_fields, check_changes, check_match, etag_of, read_instant
from modelmux.store.directory.issuer import Issuer
from modelmux.store.directory.receipts import Receipt

#: Seconds that the old secret of a rotation stays valid, unless it says otherwise.
GRACE: Final = 24 * 3600
_MAX_GRACE: Final = 90 * 24 * 3600
_MICRO: Final = 1_000_000


class KeyForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new key. Lists that are empty allow all.

    :param team, person: ids or names. :param tags: what all its requests have.
    :param capture: bodies of its requests may be kept, if the gateway keeps any.
    """

    name: str
    team: str | None = None
    person: str | None = None
    models: list[str] = []
    apis: list[str] = []
    addresses: list[str] = []
    tags: dict[str, str] = {}
    limits: RateForm = RateForm()
    expires_at: str | None = None
    capture: bool = False


class KeyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a key; null clears a field, and what is not named stays."""

    name: str | UnsetType = UNSET
    team: str | UnsetType | None = UNSET
    person: str | UnsetType | None = UNSET
    models: list[str] | UnsetType | None = UNSET
    apis: list[str] | UnsetType | None = UNSET
    addresses: list[str] | UnsetType | None = UNSET
    tags: dict[str, str] | UnsetType | None = UNSET
    limits: RateForm | UnsetType | None = UNSET
    expires_at: str | UnsetType | None = UNSET
    capture: bool | UnsetType = UNSET
    status: Status | UnsetType = UNSET


class RotateForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param grace: seconds that the old secret stays valid; 0 ends it now."""

    grace: Annotated[int, Meta(ge=0, le=_MAX_GRACE)] = GRACE


class RevokeForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param now: also end its requests that run."""

    now: bool = False


class KeyParams(ListParams, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of keys.

    :param team, person: only those of an id or a name; of a team with the teams below it.
    :param expires_before, expires_after: only those that expire before a time, at a time or after it.
    """

    team: str | None = None
    person: str | None = None
    status: KeyStatus | None = None
    expires_before: str | None = None
    expires_after: str | None = None


class SecretKey(KeyView, frozen=True, kw_only=True):
    """A key with the hint of its secret."""

    hint: str | None


class KeyRow(SecretKey, frozen=True, kw_only=True):
    """A key with the budget on its chain of which the least part is left."""

    tightest_budget: BudgetState | None


class KeyDetail(SecretKey, frozen=True, kw_only=True):
    """A key with its secrets that may still be valid, and the budgets that its requests are charged to, of which the
    one that has least left comes first."""

    secrets: list[SecretView]
    budgets: list[BudgetState]


class NewKey(SecretKey, frozen=True, kw_only=True):
    """A key with its secret, which is shown this once."""

    secret: str


async def list_keys(call: Call) -> Reply:
    params: KeyParams = call.params
    directory = await call.read()
    keys = call.scope(directory).seen(directory.keys.values())
    if params.team is not None:
        team = named_team(call, directory, "team", params.team)
        teams = {one for one in directory.teams if team in [above.id for above in directory.team_path(one)]}
        keys = [key for key in keys if key.team in teams]
    if params.person is not None:
        person = named_person(call, directory, "person", params.person)
        keys = [key for key in keys if key.person == person]
    if params.expires_before is not None:  # before the status, which most have in common
        before = read_instant("expires_before", params.expires_before)
        keys = [key for key in keys if key.expires is not None and key.expires < before]
    if params.expires_after is not None:
        after = read_instant("expires_after", params.expires_after)
        keys = [key for key in keys if key.expires is not None and key.expires >= after]
    if params.status is not None:
        keys = [key for key in keys if key.status == params.status]
    page = page_of(keys, params, lambda key: key)
    shown = {key.id for key in page.data}
    hints = {one.key: one.hint for one in directory.all_secrets() if one.key in shown and one.valid_until is None}
    chains = await states_of_chains(call, directory, [budgets_of_key(directory, key) for key in page.data])
    rows = [
        KeyRow(**plain(key_view(key)), hint=hints.get(key.id), tightest_budget=chain[0] if chain else None)
        for key, chain in zip(page.data, chains, strict=True)
    ]
    return Reply(Page(data=rows, has_more=page.has_more, next=page.next))


async def create_key(call: Call) -> Reply:
    form: KeyForm = call.body
    issuer = await asyncio.to_thread(call.backend.issuer)
    id = issuer.id(KEY)
    text, secret = issuer.secret(id)
    limits = rates_after(None, form.limits)

    def decide(directory: Directory) -> tuple[str, Edit]:
        key = Key(
            id=id, name=form.name, created=call.now, created_by=call.principal.name, limits=limits,
            team=named_team(call, directory, "team", form.team),
            person=named_person(call, directory, "person", form.person),
            models=tuple(form.models), apis=tuple(form.apis), addresses=tuple(form.addresses),  # type: ignore[arg-type]
            tags=tuple(form.tags.items()), capture=form.capture,
            expires=None if form.expires_at is None else read_instant("expires_at", form.expires_at),
        )  # fmt: skip
        check_new(call, directory, key)
        return text, save_key(directory, key, secret)

    return await _change_secret(call, issuer, decide)


async def read_key(call: Call) -> Reply:
    directory = await call.read()
    key = key_at(call, directory)
    return await _detail(call, directory, key, 0)


async def edit_key(call: Call) -> Reply:
    patch: KeyPatch = call.body

    def decide(directory: Directory) -> Edit:
        key = key_at(call, directory)
        check_match(call, _etag(directory, key))
        check_changes(call, directory, "key", key)
        after = _patched(call, directory, key, patch)
        check_new(call, directory, after)
        return save_key(directory, after)

    directory, edit, pending = await change(call, decide)
    return await _detail(call, directory, directory.keys[edit.subject], pending)


async def rotate(call: Call) -> Reply:
    form: RotateForm = call.body
    issuer = await asyncio.to_thread(call.backend.issuer)

    def decide(directory: Directory) -> tuple[str, Edit]:
        key = key_at(call, directory)
        check_match(call, _etag(directory, key))
        check_changes(call, directory, "key", key)
        text, secret = issuer.secret(key.id)
        return text, rotate_key(directory, key.id, secret, form.grace * _MICRO)

    return await _change_secret(call, issuer, decide)


async def revoke(call: Call) -> Reply:
    form: RevokeForm = call.body

    def decide(directory: Directory) -> Edit:
        key = key_at(call, directory)
        check_match(call, _etag(directory, key))
        check_changes(call, directory, "key", key)
        return revoke_key(directory, key.id, call.now, ends_requests=form.now)

    directory, edit, pending = await change(call, decide)
    return await _detail(call, directory, directory.keys[edit.subject], pending)


async def _change_secret(call: Call, issuer: Issuer, decide: Callable[[Directory], tuple[str, Edit]]) -> Reply:
    """Give a key a secret, and reply with it.

    :param decide: returns the secret and its edit; called again if the accounts changed in between.
    """
    text = ""

    def first(directory: Directory) -> Edit:
        nonlocal text
        text, edit = decide(directory)
        return edit

    def repeat(directory: Directory, receipt: Receipt) -> Edit:
        nonlocal text
        text, edit = _another_secret(call, directory, issuer, receipt)
        return edit

    directory, edit, pending = await change(call, first, repeat)
    key = directory.keys[edit.subject]
    body = NewKey(**plain(key_view(key)), hint=_hint(directory.secrets_of(key.id)), secret=text)
    return Reply(body, etag=_etag(directory, key), pending=pending)


def _another_secret(call: Call, directory: Directory, issuer: Issuer, receipt: Receipt) -> tuple[str, Edit]:
    """Of a repeated call, whose first reply was lost with the secret: that is stored nowhere, so another one takes its
    place.

    :raises NoSuchRecord, FieldError:
    """
    key = key_at(call, directory, receipt.subject)
    check_changes(call, directory, "key", key)
    text, secret = issuer.secret(key.id)
    return text, replace_secret(directory, key.id, bytes.fromhex(receipt.detail), secret)


def check_new(call: Call, directory: Directory, key: Key) -> None:
    """Whether a principal may have such a key: rights that it gives away are a subset of its own.

    :raises FieldError: the team is not one of its own; references to people say so by themselves.
    """
    if not call.scope(directory).changes(key):
        raise FieldError("team", "a key needs one that you administer", "expected a team of yours")


def _patched(call: Call, directory: Directory, key: Key, patch: KeyPatch) -> Key:
    """:raises FieldError:"""
    named = changed_fields(patch, leave_out=("limits", "status", "expires_at", "tags", "team", "person", "capture"))
    changes: dict[str, Any] = {name: value if name == "name" else tuple(value or ()) for name, value in named.items()}
    if patch.team is not UNSET:
        changes["team"] = named_team(call, directory, "team", patch.team)
    if patch.person is not UNSET:
        changes["person"] = named_person(call, directory, "person", patch.person)
    if patch.tags is not UNSET:
        changes["tags"] = tuple((patch.tags or {}).items())
    changes["limits"] = rates_after(key.limits, patch.limits)
    if patch.capture is not UNSET:
        changes["capture"] = patch.capture
    if patch.expires_at is not UNSET:
        changes["expires"] = None if patch.expires_at is None else read_instant("expires_at", patch.expires_at)
    if patch.status is not UNSET and key.status != "revoked":  # which saving refuses
        changes["status"] = patch.status
    return replace(key, **changes)


async def _detail(call: Call, directory: Directory, key: Key, pending: int) -> Reply:
    secrets = _live(directory, key, call.now)
    (states,) = await states_of_chains(call, directory, [budgets_of_key(directory, key)])
    body = KeyDetail(**plain(key_view(key)), hint=_hint(secrets), secrets=secret_views(secrets), budgets=states)
    return Reply(body, etag=_etag(directory, key), pending=pending)


def _live(directory: Directory, key: Key, now: int) -> list[Secret]:
    return [one for one in directory.secrets_of(key.id) if one.valid_until is None or one.valid_until > now]


def _hint(secrets: list[Secret]) -> str | None:
    return next((one.hint for one in reversed(secrets) if one.valid_until is None), None)


def _etag(directory: Directory, key: Key) -> str:
    """Of a key and its secrets: a rotation is a change."""
    return etag_of(key, [(one.hint, one.created, one.valid_until) for one in directory.secrets_of(key.id)])


OPERATIONS: Final = (
    Operation(
        "GET", "/keys", "List keys, with hints of their secrets", "keys.read", Page[KeyRow], list_keys, KeyParams,
    ),
    Operation(
        "POST", "/keys", "Create a key; its secret is shown this once", "keys.write", NewKey, create_key,
        NoParams, KeyForm, 201,
    ),
    Operation("GET", "/keys/{id}", "Read a key, and what is spent of its budgets", "keys.read", KeyDetail, read_key),
    Operation("PATCH", "/keys/{id}", "Change a key", "keys.write", KeyDetail, edit_key, NoParams, KeyPatch),
    Operation(
        "POST", "/keys/{id}/rotate", "Give a key another secret; the old one stays valid for a while", "keys.use",
        NewKey, rotate, NoParams, RotateForm,
    ),
    Operation("POST", "/keys/{id}/revoke", "End a key for good", "keys.use", KeyDetail, revoke, NoParams, RevokeForm),
)  # fmt: skip
