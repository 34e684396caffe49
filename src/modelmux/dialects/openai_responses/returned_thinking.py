"""Thinking that comes back in reasoning items: ours is opened, everything else is a gap."""

from __future__ import annotations

from collections.abc import Sequence

from modelmux.claude.notices import Notices
from modelmux.claude.request import ThinkingRun
from modelmux.dialects.openai_responses.entries import Entry
from modelmux.dialects.openai_responses.foreign import NOT_A_FIELD
from modelmux.dialects.openai_responses.sealed import open_thinking
from modelmux.dialects.sealer import Sealer
from modelmux.wire.openai.responses_items import ReasoningItem
from modelmux.wire.openai.responses_members import decode_reported


def open_runs(entries: Sequence[Entry], sealer: Sealer | None, owner: str, notices: Notices) -> dict[int, ThinkingRun]:
    """The thinking of a conversation by the index of its item.

    An item that cannot be opened may have held thinking to which all later thinking is bound, but none before it is:
    what came before is left out. Each time the conversation is sent this is decided alike.
    """
    runs: dict[int, ThinkingRun] = {}
    for index, entry in enumerate(entries):
        if entry.type != "reasoning":
            continue
        run = _open(entry, sealer, owner, notices)
        if run is not None:
            runs[index] = run
            continue
        notices.add("dropped", entry.path, "Only thinking that this gateway gave to this caller can be sent back.")
        for before in runs:
            notices.add("dropped", entries[before].path, "Thinking before a gap is not sent.")
        runs = {}
    return runs


def _open(entry: Entry, sealer: Sealer | None, owner: str, notices: Notices) -> ThinkingRun | None:
    if sealer is None or entry.raw is None:
        return None
    unknown: list[str] = []
    item: ReasoningItem = decode_reported(ReasoningItem, "reasoning", entry.raw, entry.path, unknown)
    for name in unknown:
        notices.ignore_unknown(name[:80], NOT_A_FIELD)
    run = open_thinking(sealer, owner, item.encrypted_content)
    return run if run is not None and run.blocks else None
