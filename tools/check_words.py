#!/usr/bin/env python3
"""Check the vocabulary of the source code and the documentation: ``python tools/check_words.py [--list] [ROOT]``.

Two figures, each with a bound:

Identifiers
    Every occurrence in ``src/**/*.py`` of a defined name (module, class, function), an argument of a function, an
    assigned name (also ``for``, ``with``, ``except``, ``import ... as`` and patterns) and an attribute, whether read
    or written. Plain names that are only read, and keywords of calls, repeat one of these and do not count. An
    identifier is split at ``_`` and capitals; it counts as banned once if any part is in `BANNED_PARTS`, unless it is
    in `ALLOWED_IDENTIFIERS`: our ``place_breakpoints``, names that asyncio and importlib prescribe
    (``connection_made``, ``PackageNotFoundError``), and the errors named after HTTP's "not found". The figure is the
    number of banned identifiers per 1,000 identifiers.

Phrases
    Occurrences of `PHRASES`, in any case, in the comments of ``src/**/*.py``, in its docstrings and other strings of
    at least two words (the values of an f-string read as one word), and in the Markdown pages of the root, ``docs``
    and ``packaging``, without their code blocks and code spans. "Is no X" and "are no X" do not count as part of
    "there is no", "there are no" and "is no longer". The figure is their number.

The exit status is 1 if a figure is above its bound. ``--list`` prints each place as ``path:line: word``.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BANNED_PARTS: Final = {
    "found", "said", "told", "kept", "adrift", "asked", "made", "apart", "whole", "stay", "stays", "standing",
    "fate", "fates", "crew", "census", "fence", "fences", "news", "halves", "mend", "mended", "place", "places",
    "given", "goes", "gone", "bear", "care",
}  # fmt: skip
ALLOWED_IDENTIFIERS: Final = {
    "place_breakpoints",
    "connection_made",  # asyncio.Protocol
    "PackageNotFoundError",  # importlib.metadata
    "ModelNotFound", "EndpointNotFound",  # HTTP status 404
}  # fmt: skip
#: The first group, where it matches, makes the phrase legitimate.
PHRASES: Final = re.compile(
    r"\b(?:(?:nobody|somebody|everybody|mend(?:s|ed|ing)?)\b|(there\s+)?(?:is|are)\s+no\b(?=\s+\S)(?!\s+longer\b))",
    re.IGNORECASE,
)
MAX_BANNED_PER_1000: Final = 1.0
MAX_PHRASES: Final = 19

_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TWO_WORDS: Final = re.compile(r"\w\S*\s+\S*\w")
_MARKDOWN_CODE: Final = re.compile(
    r"^(?P<indent>[ >]*)(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^[ >]*(?P=fence)[`~]*[ ]*$|\Z)"  # a code block
    r"|(?<!`)(?P<ticks>`+)(?!`)(?:(?!\n[ ]*\n).)+?(?<!`)(?P=ticks)(?!`)",  # a code span, within its paragraph
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True, order=True)
class Occurrence:
    """A word that should not be there. ``path`` is relative to the root of the repository."""

    path: str
    line: int
    word: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word}"


@dataclass
class Report:
    """What one tree contains. ``identifiers`` is their total number, banned or not."""

    identifiers: int
    banned: list[Occurrence]
    phrases: list[Occurrence]

    @property
    def banned_per_1000(self) -> float:
        return 1000 * len(self.banned) / max(1, self.identifiers)


def banned_part(identifier: str) -> str | None:
    """The first banned part of an identifier."""
    if identifier in ALLOWED_IDENTIFIERS:
        return None
    return next((part for part in map(str.lower, _PART.findall(identifier)) if part in BANNED_PARTS), None)


def identifiers_of(node: ast.AST) -> list[str]:
    """The identifiers that this node itself, without its children, defines, assigns or reads as an attribute."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name) | ast.Attribute(attr=name):
            return [name]
        case (
            ast.ExceptHandler(name=str(name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
            | ast.alias(asname=str(name))
        ):
            return [name]
    return []


def texts_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Docstrings and other strings of at least two words, each with its first line."""
    pending = [tree]
    while pending:
        node = pending.pop()
        match node:
            case ast.Constant(value=str(text)):
                yield node.lineno, text
            case ast.JoinedStr(values=values):
                parts = [value.value if isinstance(value, ast.Constant) else "X" for value in values]
                yield node.lineno, "".join(map(str, parts))
                pending += [value for value in values if not isinstance(value, ast.Constant)]
            case _:
                pending += ast.iter_child_nodes(node)


def comments_of(source: str) -> Iterator[tuple[int, str]]:
    """Comments, each with its first line. Those on consecutive lines are one."""
    first, lines = 0, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if lines and token.start[0] != first + len(lines):
                yield first, "\n".join(lines)
                lines = []
            if not lines:
                first = token.start[0]
            lines.append(token.string.lstrip("#: "))
    if lines:
        yield first, "\n".join(lines)


def without_code(markdown: str) -> str:
    """The page with code blocks and code spans blanked; every line stays where it is."""
    return _MARKDOWN_CODE.sub(lambda code: re.sub(r"\S", "x", code[0]), markdown)


def phrases_in(path: str, line: int, text: str) -> Iterator[Occurrence]:
    """The phrases of a text that begins in this line."""
    for match in PHRASES.finditer(text):
        if not match[1]:
            yield Occurrence(path, line + text.count("\n", 0, match.start()), " ".join(match[0].split()).lower())


def check_module(path: str, source: str) -> Report:
    """One Python module."""
    tree = ast.parse(source, path)
    module = Path(path)
    names = [(1, module.parent.name if module.stem == "__init__" else module.stem)]
    names += [(getattr(node, "lineno", 1), name) for node in ast.walk(tree) for name in identifiers_of(node)]
    banned = []
    for line, name in names:
        if part := banned_part(name):
            banned.append(Occurrence(path, line, part if part == name else f"{part} in {name}"))
    texts = [(line, text) for line, text in texts_of(tree) if _TWO_WORDS.search(text)]
    phrases = [each for line, text in (*texts, *comments_of(source)) for each in phrases_in(path, line, text)]
    return Report(len(names), banned, phrases)


def check(root: Path) -> Report:
    """A whole repository.

    :raises SystemExit: it has no ``src``.
    """
    if not (root / "src").is_dir():
        sys.exit(f"error: there is no folder {root / 'src'}\nhint: name the root of the repository")
    total = Report(0, [], [])
    for path in sorted((root / "src").rglob("*.py")):
        report = check_module(path.relative_to(root).as_posix(), path.read_text("utf-8"))
        total.identifiers += report.identifiers
        total.banned += report.banned
        total.phrases += report.phrases
    for pattern in ("*.md", "docs/**/*.md", "packaging/**/*.md"):
        for path in sorted(root.glob(pattern)):
            total.phrases += phrases_in(path.relative_to(root).as_posix(), 1, without_code(path.read_text("utf-8")))
    return total


def main(arguments: list[str] | None = None) -> int:
    """The command.

    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="of the repository")
    parser.add_argument("--list", action="store_true", help="print each place as path:line: word")
    options = parser.parse_args(arguments)
    report = check(options.root)
    if options.list:
        for occurrence in sorted(report.banned) + sorted(report.phrases):
            print(occurrence)
    print(
        f"identifiers: {report.banned_per_1000:.1f} banned per 1,000 ({len(report.banned)} of {report.identifiers:,}); "
        f"at most {MAX_BANNED_PER_1000:g}\nphrases: {len(report.phrases)}; at most {MAX_PHRASES}"
    )
    errors = []
    if report.banned_per_1000 > MAX_BANNED_PER_1000:
        errors.append("error: too many identifiers contain a banned word\nhint: name what they hold; --list shows them")
    if len(report.phrases) > MAX_PHRASES:
        errors.append(
            'error: too many banned phrases\nhint: write "is not a ..." or name the subject; --list shows them'
        )
    for message in errors:
        print(message, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
