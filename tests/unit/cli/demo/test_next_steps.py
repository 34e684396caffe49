"""The lines for clients: one each, short enough for a terminal."""

from __future__ import annotations

from modelmux.cli.connect.table import clients
from modelmux.cli.demo.next_steps import chat_line, client_lines
from modelmux.cli.demo.program import Program

CHECKOUT = Program(".venv/bin/modelmux", "source .venv/bin/activate")


def test_in_a_checkout_lines_with_titles_fit_100_columns() -> None:
    lines = client_lines("http://127.0.0.1:3000", CHECKOUT, 100)
    assert len(lines) == len(clients().names)
    assert all(line.startswith(".venv/bin/modelmux connect ") and "  # " in line for line in lines)
    assert max(map(len, lines)) <= 100


def test_another_port_is_named_and_titles_give_way() -> None:
    lines = client_lines("http://127.0.0.1:40001", CHECKOUT, 100)
    assert lines[0] == ".venv/bin/modelmux connect claude-code --url http://127.0.0.1:40001"
    assert max(map(len, lines)) <= 100


def test_chat_gets_the_url_of_another_port() -> None:
    assert chat_line("http://127.0.0.1:3000", CHECKOUT) == '.venv/bin/modelmux chat "Hello!"'
    assert chat_line("http://127.0.0.1:40001", CHECKOUT).endswith(' --url http://127.0.0.1:40001 "Hello!"')
