"""Risk: a block is told to be of another part than its own."""

from __future__ import annotations

from modelmux.claude.part_paths import PartPaths, system_origins
from modelmux.wire.anthropic import TextBlock


def test_equal_blocks_are_told_apart() -> None:
    parts = PartPaths()
    one, two, other = parts.add(TextBlock("a"), "0"), parts.add(TextBlock("a"), "1"), TextBlock("a")
    assert [parts.of(block, "none") for block in (one, two, other)] == ["0", "1", "none"]


def test_a_copy_has_the_path_of_its_original() -> None:
    parts = PartPaths()
    one, two, three = parts.add(TextBlock("a"), "0"), parts.add(TextBlock("b"), "1"), TextBlock("c")
    after = [one, TextBlock("b"), TextBlock("c"), TextBlock("d")]
    parts.copied([one, two, three], after, "m")
    assert [parts.of(block, "none") for block in after] == ["0", "1", "m", "none"]


def test_blocks_of_the_system_prompt_are_known_by_their_index() -> None:
    parts = PartPaths()
    one = parts.add(TextBlock("a"), "messages.0")
    assert system_origins([one, TextBlock("b")], parts, "instructions") == [
        (("system", 0), "messages.0"), (("system", 1), "instructions"),
    ]  # fmt: skip
