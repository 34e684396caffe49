"""``/teams`` and their members."""

from __future__ import annotations

from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit, save_team, set_member
from modelmux.accounts.fields import FieldError
from modelmux.accounts.records import TEAM, Person, Status, Team, TeamRole
from modelmux.accounts.views import MemberView, TeamView, team_view, team_views
from modelmux.admin.errors import no_record
from modelmux.admin.forms import RateForm, rates_after
from modelmux.admin.operation import Call, ListParams, NoParams, Operation, Page, Reply, page_of
from modelmux.admin.references import named_person, named_team, team_at
from modelmux.admin.writes import change, changed_fields, check_changes, check_match, etag_of


class TeamForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new team; without a parent it is an organisation.

    :param parent: id or name. :param contact: whom members ask for more, shown in errors.
    """

    name: str
    parent: str | None = None
    zone: str | None = None
    contact: str | None = None
    limits: RateForm = RateForm()


class TeamPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a team; null clears a field."""

    name: str | UnsetType = UNSET
    parent: str | UnsetType | None = UNSET
    zone: str | UnsetType | None = UNSET
    contact: str | UnsetType | None = UNSET
    limits: RateForm | UnsetType | None = UNSET
    status: Status | UnsetType = UNSET


class MemberForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """:param person: id or e-mail address."""

    person: str
    role: TeamRole = "member"


async def list_teams(call: Call) -> Reply:
    directory = await call.read()
    teams = call.scope(directory).seen(directory.teams.values())
    page: Page[Team] = page_of(teams, call.params, lambda team: team)
    return Reply(Page(data=team_views(directory, page.data), has_more=page.has_more, next=page.next))


async def create_team(call: Call) -> Reply:
    form: TeamForm = call.body
    id = call.backend.ids.id(TEAM)

    def decide(directory: Directory) -> Edit:
        parent = named_team(call, directory, "parent", form.parent)
        limits = rates_after(None, form.limits)
        team = Team(id=id, name=form.name, parent=parent, zone=form.zone, contact=form.contact, limits=limits)
        _check(call, directory, team)
        return save_team(directory, team)

    return await _change(call, decide)


async def read_team(call: Call) -> Reply:
    directory = await call.read()
    return _reply(directory, team_at(call, directory), 0)


async def edit_team(call: Call) -> Reply:
    patch: TeamPatch = call.body

    def decide(directory: Directory) -> Edit:
        team = team_at(call, directory)
        check_match(call, _etag(directory, team))
        check_changes(call, directory, "team", team)
        changes: dict[str, Any] = changed_fields(patch, leave_out=("parent", "limits"))
        if patch.parent is not UNSET:
            changes["parent"] = named_team(call, directory, "parent", patch.parent)
        after = replace(team, **changes, limits=rates_after(team.limits, patch.limits))
        _check(call, directory, after)
        return save_team(directory, after)

    return await _change(call, decide)


async def list_members(call: Call) -> Reply:
    directory = await call.read()
    members = {one.person: one for one in directory.members_of(team_at(call, directory).id)}
    people = [directory.people[id] for id in members]

    def show(person: Person) -> MemberView:
        return MemberView(person=person.id, role=members[person.id].role or "member")

    return Reply(page_of(people, call.params, show))


async def add_member(call: Call) -> Reply:
    form: MemberForm = call.body

    def decide(directory: Directory) -> Edit:
        team = team_at(call, directory)
        check_match(call, _etag(directory, team))
        person = named_person(call, directory, "person", form.person)
        assert person is not None
        return set_member(directory, person, team.id, form.role)

    return await _change(call, decide)


async def remove_member(call: Call) -> Reply:
    def decide(directory: Directory) -> Edit:
        team, person = team_at(call, directory), call.path["person"]
        check_match(call, _etag(directory, team))
        if directory.role_in(person, team.id) is None:
            raise no_record("member", person)
        return set_member(directory, person, team.id, None)

    return await _change(call, decide)


def _check(call: Call, directory: Directory, team: Team) -> None:
    """:raises FieldError: the team would be one that the principal may not write."""
    if not call.scope(directory).changes(team):
        raise FieldError("parent", "a team needs one that you administer", "expected a team of yours")


async def _change(call: Call, decide: Any) -> Reply:
    directory, edit, pending = await change(call, decide)
    return _reply(directory, directory.teams[edit.subject], pending)


def _reply(directory: Directory, team: Team, pending: int) -> Reply:
    return Reply(team_view(directory, team), etag=_etag(directory, team), pending=pending)


def _etag(directory: Directory, team: Team) -> str:
    return etag_of(team, sorted((one.person, one.role) for one in directory.members_of(team.id)))


OPERATIONS: Final = (
    Operation("GET", "/teams", "List teams", "teams.read", Page[TeamView], list_teams, ListParams),
    Operation("POST", "/teams", "Create a team", "teams.write", TeamView, create_team, NoParams, TeamForm, 201),
    Operation("GET", "/teams/{id}", "Read a team", "teams.read", TeamView, read_team),
    Operation("PATCH", "/teams/{id}", "Change a team", "teams.write", TeamView, edit_team, NoParams, TeamPatch),
    Operation(
        "GET", "/teams/{id}/members", "List who is in a team", "teams.read", Page[MemberView], list_members, ListParams
    ),
    Operation(
        "POST", "/teams/{id}/members", "Make a person a member of a team, or give it another role", "members.write",
        TeamView, add_member, NoParams, MemberForm,
    ),
    Operation(
        "DELETE", "/teams/{id}/members/{person}", "Let a person leave a team", "members.write", TeamView, remove_member
    ),
)  # fmt: skip
