"""What ``server.allowed_hosts`` and ``server.cors_origins`` have in common: a list of hosts as browsers send them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from modelmux.config.errors import ConfigError

#: A host in the form of a header, in lower case and without a port.
HOST: Final = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")


def read_entries(field: str, entries: Sequence[str], read: Callable[[str], str], meaning: str) -> frozenset[str]:
    """What each entry stands for.

    :param read: of one entry without surrounding spaces; its ``ValueError`` says what to write instead.
    :param meaning: what an entry should be, with its article.
    :raises ConfigError: naming every entry that cannot be read.
    """
    valid, problems = set(), []
    for index, text in enumerate(entries):
        try:
            valid.add(read(text.strip()))
        except ValueError as error:
            problems.append(f"{field}[{index}]: {text[:100]!r} is not {meaning}; {error}")
    if problems:
        raise ConfigError(problems)
    return frozenset(valid)
