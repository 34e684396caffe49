"""Compaction: a request for a summary of the conversation instead of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from modelmux.dialects.openai_responses.entries import Entry

#: How the summary is shown: as an item of a response, or as an object of its own.
Compaction = Literal["item", "object"]
INSTRUCTION: Final = (
    "Summarise this conversation for an assistant that continues it without having seen it. State the user's goals and "
    "requirements, the decisions that were taken and why, the files, names, commands and facts that matter, what has "
    "been done, and the tasks that are still open. Write only the summary, and do not continue the work itself."
)


def split(entries: Sequence[Entry], *, compact: bool) -> tuple[list[Entry], Compaction | None]:
    """The items without the signal at the end that asks for a summary, and whether one is wanted.

    :param compact: the endpoint asks for it.
    """
    asked = bool(entries) and entries[-1].type == "compaction_trigger"
    rest = list(entries[:-1] if asked else entries)
    return rest, "object" if compact else "item" if asked else None
