"""Risk: a model that takes no system turns gets one, or another conversation than it would have had without them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from support.translation import SONNET, notices, sent

WITH, WITHOUT = replace(SONNET, supports_mid_system=True), replace(SONNET, supports_mid_system=False)
MARK = {"cache_control": {"type": "ephemeral"}}

Json = dict[str, Any]


def user(text: str = "u", **fields: Any) -> Json:
    return {"role": "user", "content": text, **fields}


def system(text: str = "s", **fields: Any) -> Json:
    return {"role": "system", "content": text, **fields}


def reply(text: str = "a", **fields: Any) -> Json:
    return {"role": "assistant", "content": text, **fields}


def turns(messages: list[Json], card: Any) -> list[list[str]]:
    """Each turn as its role and its texts; a text with a breakpoint ends in ``|``."""
    body = sent({"messages": messages}, card)
    return [[message["role"][0], *map(_short, message["content"])] for message in body["messages"]]


def _short(block: Json) -> str:
    return str(block["text"]) + ("|" if "cache_control" in block else "")


WRAPPED = "<system_message>\ns\n</system_message>"
CASES: list[tuple[str, list[Json], list[list[str]], list[list[str]]]] = [
    ("before a reply", [user(), system(), reply(), user("v")],
     [["u", "u"], ["s", "s"], ["a", "a"], ["u", "v"]], [["u", "u", WRAPPED], ["a", "a"], ["u", "v"]]),
    ("at the end", [user(), system(**MARK)], [["u", "u"], ["s", "s|"]], [["u", "u", f"{WRAPPED}|"]]),
    ("two of them", [user(), system(), system()], [["u", "u"], ["s", "s", "s"]], [["u", "u", WRAPPED, WRAPPED]]),
    ("before the user", [user(), system(), user("v")], [["u", "u", WRAPPED, "v"]], [["u", "u", WRAPPED, "v"]]),
    ("before a reply without content", [user(), system(), reply(""), user("v")],
     [["u", "u"], ["s", "s"], ["a", "(no content)"], ["u", "v"]], [["u", "u", WRAPPED, "v"]]),
    ("before a reply without content, and then one with", [user(), system(), reply(""), reply("b"), user("v")],
     [["u", "u"], ["s", "s"], ["a", "(no content)", "b"], ["u", "v"]], [["u", "u", WRAPPED], ["a", "b"], ["u", "v"]]),
    ("a breakpoint after a reply without content", [user(), system(), reply("", **MARK), user("v")],
     [["u", "u"], ["s", "s"], ["a", "(no content)|"], ["u", "v"]], [["u", "u", f"{WRAPPED}|", "v"]]),
    ("a client's own text like the placeholder", [user(), system(), reply("(no content)"), user("v")],
     [["u", "u"], ["s", "s"], ["a", "(no content)"], ["u", "v"]],
     [["u", "u", WRAPPED], ["a", "(no content)"], ["u", "v"]]),
    ("two after a reply", [user(), reply(), system(), system()],
     [["u", "u"], ["a", "a"], ["u", WRAPPED], ["s", "s"]], [["u", "u"], ["a", "a"], ["u", WRAPPED, WRAPPED]]),
    ("many", [user(), system(), reply(""), user("v"), system(), reply(""), user("w")],
     [["u", "u"], ["s", "s"], ["a", "(no content)"], ["u", "v"], ["s", "s"], ["a", "(no content)"], ["u", "w"]],
     [["u", "u", WRAPPED, "v", WRAPPED, "w"]]),
]  # fmt: skip


@pytest.mark.parametrize(("messages", "native", "merged"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_a_late_system_message_is_a_turn_where_the_model_takes_one(
    messages: list[Json], native: list[list[str]], merged: list[list[str]]
) -> None:
    assert turns(messages, WITH) == native
    assert turns(messages, WITHOUT) == merged
    fields = {"messages": messages}
    late = [index for index, message in enumerate(messages) if message["role"] == "system"]
    assert notices(fields, WITHOUT) == [("changed", f"messages.{index}.role") for index in late]
    in_turns = sum(len(turn) - 1 for turn in native if turn[0] == "s")
    assert len(notices(fields, WITH)) == len(late) - in_turns
