"""``/imports/litellm``: keys and teams of LiteLLM, with the hashes of their secrets."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import Edit
from modelmux.accounts.litellm import Imported, import_from_litellm
from modelmux.admin.operation import Call, NoParams, Operation, Reply
from modelmux.admin.writes import change, check_roles, once_of
from modelmux.store.directory.receipts import Receipt

#: Bytes of a body: some 8,000 keys with all of their fields.
MAX_IMPORT: Final = 16 * 1024 * 1024


class ImportForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries as LiteLLM's ``/key/list?return_full_object=true`` and ``/team/list`` have them.

    :param dry_run: say what would be imported, and write nothing.
    """

    keys: list[dict[str, Any]] = []
    teams: list[dict[str, Any]] = []
    dry_run: bool = False


class ImportedView(Struct, frozen=True, kw_only=True):
    """What is new, in numbers.

    :param notices: what differs from LiteLLM. :param left_out: entries that were not imported, each with why.
    """

    keys: int
    teams: int
    people: int
    notices: list[str]
    left_out: list[str]


async def import_litellm(call: Call) -> Reply:
    form: ImportForm = call.body
    imported = Imported(Edit(action="", subject=""), ())

    def decide(directory: Directory) -> Edit:
        nonlocal imported
        imported = import_from_litellm(directory, form.keys, form.teams, call.backend.ids.id, call.now)
        return check_roles(call, directory, imported.edit)

    def repeat(directory: Directory, _: Receipt) -> Edit:
        return decide(directory)  # which adds what is new: nothing, unless something was taken away meanwhile

    pending = 0
    if form.dry_run:
        once_of(call)  # checks the key, as if it were needed
        decide(await call.read())
    else:
        _, _, pending = await change(call, decide, repeat)
    return Reply(imported_view(imported), pending=pending)


def imported_view(imported: Imported) -> ImportedView:
    """What an import has written, or would write."""
    edit = imported.edit
    return ImportedView(
        keys=len(edit.keys), teams=len(edit.teams), people=len(edit.people), notices=list(imported.notices),
        left_out=list(imported.left_out),
    )  # fmt: skip


OPERATIONS: Final = (
    Operation(
        "POST", "/imports/litellm", "Import keys and teams of LiteLLM; repeated, it adds what is new", "accounts.write",
        ImportedView, import_litellm, NoParams, ImportForm, max_body=MAX_IMPORT,
    ),
)  # fmt: skip
