"""``/people``."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_person
from modelmux.accounts.records import PERSON, Person, Status
from modelmux.accounts.views import PersonView, person_view
from modelmux.admin.forms import RateForm, rates_after
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.references import person_at
from modelmux.admin.writes import change, changed_fields, check_changes, check_match, check_roles, etag_of


class PersonForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new person. :param limits: of all keys of the person together."""

    email: str
    name: str = ""
    limits: RateForm = RateForm()


class PersonPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a person; null clears a field."""

    email: str | UnsetType = UNSET
    name: str | UnsetType | None = UNSET
    limits: RateForm | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET


async def list_people(call: Call) -> Reply:
    directory = await call.read()
    return Reply(page_of(call.scope(directory).seen(directory.people.values()), call.params, person_view))


async def create_person(call: Call) -> Reply:
    form: PersonForm = call.body
    person = Person(
        id=call.backend.ids.id(PERSON), email=form.email, name=form.name, limits=rates_after(None, form.limits)
    )
    return await _change(call, lambda directory: save_person(directory, person))


async def read_person(call: Call) -> Reply:
    return _reply(person_at(call, await call.read()), 0)


async def edit_person(call: Call) -> Reply:
    patch: PersonPatch = call.body

    def decide(directory: Directory) -> Edit:
        person = person_at(call, directory)
        check_match(call, etag_of(person))
        check_changes(call, directory, "person", person)
        changes: dict[str, Any] = changed_fields(patch, leave_out=("limits",))
        if "name" in changes:
            changes["name"] = changes["name"] or ""
        return save_person(directory, replace(person, **changes, limits=rates_after(person.limits, patch.limits)))

    return await _change(call, decide)


async def _change(call: Call, decide: Any) -> Reply:
    directory, edit, pending = await change(call, lambda directory: check_roles(call, directory, decide(directory)))
    return _reply(directory.people[edit.subject], pending)


def _reply(person: Person, pending: int) -> Reply:
    return Reply(person_view(person), etag=etag_of(person), pending=pending)


OPERATIONS: Final = (
    Operation("GET", "/people", "List people", "people.read", Page[PersonView], list_people, ListParams),
    Operation("POST", "/people", "Add a person", "people.write", PersonView, create_person, NoParams, PersonForm, 201),
    Operation("GET", "/people/{id}", "Read a person", "people.read", PersonView, read_person),
    Operation(
        "PATCH", "/people/{id}", "Change a person", "people.write", PersonView, edit_person, NoParams, PersonPatch
    ),
)  # fmt: skip
