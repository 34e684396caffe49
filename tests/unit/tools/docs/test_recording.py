"""The picture of the terminal: how it is drawn, and that the one in the README is of the commands of the tool."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4]))
pytest.importorskip("tools", reason="the tools are not part of what is installed")

from tools.docs.recording import COMMANDS, PICTURE, Chunk, lines
from tools.docs.terminal_picture import Line, draw

TEXT = "{http://www.w3.org/2000/svg}text"


def texts(picture: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(picture).iter(TEXT)]


def test_lines_have_the_time_of_their_first_character() -> None:
    chunks = [Chunk(0.0, "$ "), Chunk(1.0, "ls\r\nfi"), Chunk(2.0, "le\r\n\r\n"), Chunk(3.0, "$ ")]
    assert lines(chunks) == [Line(0.0, "$ ls"), Line(1.0, "file"), Line(2.0, ""), Line(3.0, "$ ")]


def test_colours_stay_and_other_sequences_do_not() -> None:
    picture = draw([Line(0.0, "\x1b[1;32mgreen\x1b[0m & <plain>\x1b[?25h")], 40, "title")
    assert texts(picture) == ["green & <plain>"]
    assert "font-weight:bold" in picture
    assert "\x1b" not in picture


def test_long_lines_are_wrapped_and_long_pauses_are_short() -> None:
    picture = draw([Line(0.0, "abcdef"), Line(60.0, "g")], 4, "title")
    assert texts(picture) == ["abcd", "ef", "g"]
    delays = [node.get("style") for node in ET.fromstring(picture).iter(TEXT)]
    assert delays == ["animation-delay:0.00s", "animation-delay:0.00s", "animation-delay:1.20s"]


def test_the_picture_shows_the_commands_and_loads_nothing() -> None:
    picture = PICTURE.read_text("utf-8")
    shown = texts(picture)
    assert [text.removeprefix("$ ") for text in shown if text.startswith("$ ")] == list(COMMANDS)
    assert shown.count("Hello! How can I help you today?") == 3
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in picture
