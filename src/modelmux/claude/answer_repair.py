"""Undoes known deformations of an answer that a tool call carries, if it does not fit its schema and fits it then.

``AnswerText`` takes the answer as it arrives and holds it back only while a deformation is possible; an answer in one
piece goes through it as well, so both are decided alike. The text itself is edited: numbers, spaces and the order of
keys stay as the model wrote them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from modelmux.claude.answer_scanner import AnswerScanner, container_in
from modelmux.claude.reply_plan import ReplyPlan
from modelmux.claude.schema.conformance import SchemaChecker
from modelmux.claude.schema.outline import Outline, Position
from modelmux.claude.schema.work import TooMuchWork, Work
from modelmux.wire.json_keys import rename_keys

#: Envelopes and strings that are opened one inside the other.
MAX_LAYERS: Final = 4
#: Characters of an answer that is checked: more than a model writes.
MAX_TEXT: Final = 1_000_000


class AnswerText:
    """One answer: its text in pieces in, the text for the client out.

    :param schema: what the client asked for; None changes nothing.
    :param keys: upstream key of a property under the root -> the client's own, for renamed keys: the answer itself has
        the client's already, one inside an envelope does not.
    """

    __slots__ = ("_parts", "_pending", "_read", "_repair", "_scanner", "_sent")

    def __init__(self, schema: dict[str, Any] | None, keys: Mapping[str, str] | None = None) -> None:
        self._repair = None if schema is None else _Repair(schema, keys or {})
        self._scanner = None if self._repair is None else self._repair.scanner()
        self._parts: list[str] = []  # of the whole answer
        self._pending: list[str] = []  # those that were not returned
        self._read = 0  # characters of the parts
        self._sent = 0  # characters that were returned

    def feed(self, text: str) -> str:
        """The text that is certain so far."""
        scanner = self._scanner
        if scanner is None:
            return text
        scanner.feed(text)
        self._parts.append(text)
        self._pending.append(text)
        self._read += len(text)
        if scanner.failed or self._read > MAX_TEXT:
            return self._give_up()
        held_from = scanner.held_from
        length = (self._read if held_from is None else held_from) - self._sent
        if length <= 0:
            return ""
        pending = "".join(self._pending)
        self._pending = [pending[length:]]
        self._sent += length
        return pending[:length]

    def finish(self) -> str:
        """The rest of the text."""
        repair, scanner = self._repair, self._scanner
        if repair is None or scanner is None or scanner.held_from is None:
            return "".join(self._pending)
        text = "".join(self._parts)
        return repair.repaired(text, scanner)[self._sent :]

    def _give_up(self) -> str:
        """The rest so far. All that follows passes as it comes."""
        pending = "".join(self._pending)
        self._scanner = None
        self._parts, self._pending = [], []
        return pending


def answer_text(plan: ReplyPlan) -> AnswerText:
    """For an answer of the reply."""
    return AnswerText(plan.answer_schema, plan.property_names.get(plan.answer_tool or ""))


def repaired_answer(text: str, schema: dict[str, Any] | None, keys: Mapping[str, str] | None = None) -> str:
    """A complete answer without known deformations."""
    answer = AnswerText(schema, keys)
    return answer.feed(text) + answer.finish()


class _Repair:
    """The repair of one answer, within one limit of work."""

    def __init__(self, schema: dict[str, Any], keys: Mapping[str, str]) -> None:
        self._keys = keys
        self._work = Work()
        self._checker = SchemaChecker(schema, self._work)
        self._outline = Outline(schema, self._work)
        self._root: Position | None = None

    def scanner(self) -> AnswerScanner | None:
        """Reads the answer; None if the schema is beyond the limits."""
        try:
            self._root = self._outline.root()
        except TooMuchWork:
            return None
        return AnswerScanner(self._root, self._work)

    def repaired(self, text: str, scanner: AnswerScanner) -> str:
        """The answer that was meant; the text itself if it is that, or if nothing fits.

        :param scanner: it has read the text.
        """
        try:
            if self._fits(text) is False or self._has_renamed_keys(text, scanner):
                for candidate in self._candidates(text, scanner, MAX_LAYERS):
                    if self._fits(candidate) is not False:
                        return candidate
        except (TooMuchWork, msgspec.DecodeError, UnicodeError):  # also an answer that was cut off
            pass
        return text

    def _has_renamed_keys(self, text: str, scanner: AnswerScanner) -> bool:
        """Whether an envelope holds keys that only the gateway's schema has, even if the client's schema takes it."""
        inner = self._inside(text, scanner)
        return inner is not None and rename_keys(inner, self._keys) != inner

    def _fits(self, text: str) -> bool | None:
        return self._checker.check(msgspec.json.decode(text))

    def _candidates(self, text: str, scanner: AnswerScanner, layers: int) -> Iterator[str]:
        """What may have been meant, the least change first."""
        for certain in (True, False):
            edited = self._with_containers(text, scanner, layers, certain=certain)
            if edited != text:
                yield edited
        inner = self._inside(text, scanner)
        if inner is not None and self._root is not None and layers:
            inner = rename_keys(inner, self._keys)
            yield inner
            yield from self._candidates(inner, self._scanned(inner, self._root), layers - 1)

    @staticmethod
    def _inside(text: str, scanner: AnswerScanner) -> str | None:
        """What an envelope or a string holds that is the whole answer; None if there is none."""
        if not scanner.is_envelope:
            return None
        value = text[scanner.envelope_start : scanner.envelope_end]
        return container_in(value) if value.startswith('"') else value

    def _with_containers(self, text: str, scanner: AnswerScanner, layers: int, *, certain: bool) -> str:
        """The text with objects and arrays in place of the strings that hold them.

        :param certain: only where no variant of the schema allows a string.
        """
        parts: list[str] = []
        at = 0
        for start, end, position, is_certain in scanner.strings:
            inner = container_in(text[start:end]) if is_certain or not certain else None
            if inner is None or layers == 0:
                continue
            inner_scanner = self._scanned(inner, position)
            if inner_scanner.failed:
                continue
            parts += (text[at:start], self._with_containers(inner, inner_scanner, layers - 1, certain=certain))
            at = end
        return "".join((*parts, text[at:]))

    def _scanned(self, text: str, position: Position) -> AnswerScanner:
        scanner = AnswerScanner(position, self._work)
        scanner.feed(text)
        return scanner
