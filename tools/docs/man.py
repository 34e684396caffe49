"""The manual page ``modelmux.1``, made from the commands themselves: ``python -m tools.docs.man``.

Written in the ``man`` macros of troff. It uses click and nothing else, so that the Debian package can be built with the
distribution's Python. Examples, files and variables, which click does not know, are below.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

import click

_FILES: Final = {
    "~/.config/modelmux/config.toml": "Settings of the user; $XDG_CONFIG_HOME is respected.",
    "/etc/modelmux/config.toml": "Settings of the machine.",
    "~/.local/state/modelmux/": "Log files, the seal key and stored responses; $XDG_STATE_HOME is respected.",
}
_ENVIRONMENT: Final = {
    "VERTEX_PROJECT, VERTEX_LOCATION": "Google Cloud project and location.",
    "GOOGLE_APPLICATION_CREDENTIALS": "A credential file.",
    "MODELMUX_API_KEYS": "Keys that clients have to send.",
    "MODELMUX_KEY": "The key of clients: connect refers to it, and sends it for --check.",
    "MODELMUX_ADMIN_URL, MODELMUX_ADMIN_TOKEN": "The admin API of a gateway for commands of accounts, and its token.",
    "MODELMUX_DEBUG": "1 shows tracebacks of internal errors.",
    "NO_COLOR, FORCE_COLOR": "Colours off, or on in a pipe too.",
}
_STATUS: Final = {
    "0": "Success.",
    "1": "Failure, explained on standard error.",
    "2": "Wrong usage.",
    "130": "Interrupted.",
}


def escape(text: str) -> str:
    """Text as troff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return re.sub(r"^(?=[.'])", "\\\\&", text, flags=re.MULTILINE)


def render(program: click.Group, version: str, name: str = "modelmux") -> str:
    """The page."""
    context = click.Context(program, info_name=name, help_option_names=program.context_settings["help_option_names"])
    parts = [
        f'.TH {name.upper()} 1 "" "{escape(f"{name} {version}")}" "User Commands"\n',
        f".SH NAME\n{escape(name)} \\- {escape(_sentence(program.help).rstrip('.'))}\n",
        f".SH SYNOPSIS\n.B {escape(name)}\n[\\fIOPTIONS\\fR] [\\fICOMMAND\\fR [\\fIARGUMENTS\\fR]]\n",
        f".SH DESCRIPTION\n{_prose(program.help)}Without a command, {name} runs its server.\n",
        f".SH OPTIONS\n{''.join(_options(program, context))}",
        f".SH COMMANDS\n{''.join(_commands(program, context))}",
    ]
    for title, rows in (("EXIT STATUS", _STATUS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES)):
        body = "".join(f".TP\n.B {escape(term)}\n{escape(text)}\n" for term, text in rows.items())
        parts.append(f".SH {title}\n{body}")
    return "".join(parts)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    """The commands of a group, with those of the groups in it."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        path = " ".join(inner.command_path.split()[1:])
        if isinstance(command, click.Group) and not command.invoke_without_command:
            yield from _commands(command, inner)
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield f".SS {escape(path)} {escape(usage)}\n{_prose(command.help)}{''.join(_options(command, inner))}"
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            names, text = record
            yield f".TP\n.B {escape(names)}\n{escape(' '.join(text.split()))}\n"


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def _prose(text: str | None) -> str:
    r"""Paragraphs; one that begins with click's \b keeps its lines."""
    parts = []
    for paragraph in (text or "").strip().split("\n\n"):
        lines = [line.strip() for line in paragraph.splitlines()]
        if lines[:1] == ["\b"]:
            parts.append(f".nf\n{escape(chr(10).join(lines[1:]))}\n.fi\n")
        elif any(lines):
            parts.append(f".PP\n{escape(' '.join(lines))}\n")
    return "".join(parts)


def main() -> None:
    """Print the page of this program."""
    from modelmux.cli.main import main as program
    from modelmux.version import __version__

    sys.stdout.write(render(program, __version__))


if __name__ == "__main__":
    main()
