"""What the emulator says when it is not asked for a tool or a document: greetings, echoes, sums, long texts.

Pure and deterministic: the same prompt always gets the same words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from modelmux.emulator.hints import Hints
from modelmux.emulator.prompt import Prompt, ToolResult


def _words(text: str) -> list[str]:
    return text.split()


_EXACTLY: Final = re.compile(
    r"\b(?:(?:say|reply|respond|answer|output|print|write|return)(?: back)?(?: to me)?(?: with)?(?: only| just)?"
    r" exactly"
    r"(?: this| the following| the words?| the text)?|repeat(?: after me| exactly| this| the following)?|echo(?: back)?"
    r"|(?:say|reply|respond|answer)(?: only| just)? with(?: only| just)?|say(?: only| just)?"
    r"|reply(?: only| just)?)\s*:\s*(.+)",
    re.IGNORECASE | re.DOTALL,
)
_EXACTLY_WORD: Final = re.compile(
    r"\b(?:say|reply|respond|answer) (?:with )?(?:exactly|only|just) (?:the word )?[\"'“]?([\w-]+)[\"'”]?[.!]?$",
    re.IGNORECASE,
)
_COUNT: Final = re.compile(r"\bcount (?:from (\d{1,4}) )?(?:up )?to (\d{1,4})\b", re.IGNORECASE)
_WORDS: Final = re.compile(r"\b(?:write|give me|generate|produce|say)\D{0,40}?(\d{1,6}) words\b", re.IGNORECASE)
_SUM: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*/x×÷])\s*(-?\d+(?:\.\d+)?)")
_LOREM: Final = _words(
    """
    the gateway carries every word from one side to the other and loses none of them on the way
    because a stream that ends well says so and a stream that does not end well says that too
    """
)

_TALK: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, re.IGNORECASE), answer)
    for pattern, answer in (
        (
            r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings|ping)\b[^?]{0,20}$",
            "Hello! How can I help you today?",
        ),
        (r"\bhow are you\b", "I'm doing well, thank you. What can I do for you?"),
        (r"^\W*(?:thanks|thank you)\b", "You're welcome!"),
        (r"^\W*(?:bye|goodbye|see you)\b", "Goodbye!"),
        (
            r"\bwho are you\b|\bwhat are you\b|\byour name\b",
            "I'm {model}, as played by the ModelMux emulator. No real model was asked.",
        ),
        (r"\bjoke\b", "Why did the request cross the gateway? To get to the other dialect."),
    )
)


def answer(prompt: Prompt, model: str) -> str:
    """The words of a reply without tools."""
    if prompt.results:
        return from_results(prompt.results)
    text = prompt.text
    for speak in (_exact, _counting, _long_text, _arithmetic):
        said = speak(text)
        if said is not None:
            return said
    if not prompt.attachments:
        for pattern, words in _TALK:
            if pattern.search(text):
                return words.format(model=model)
    return _echo(prompt)


def from_results(results: list[ToolResult]) -> str:
    """An answer that uses what the tools said."""
    if len(results) == 1:
        return _one_result(results[0])
    return "Here is what I found:\n\n" + "\n".join(f"- {_one_result(result)}" for result in results)


def _one_result(result: ToolResult) -> str:
    name = result.name or "The tool"
    if result.is_error:
        return f"{name} failed: {result.text or 'no message'}"
    return f"{name} returned: {result.text}" if result.text else f"{name} returned nothing."


def _exact(text: str) -> str | None:
    found = _EXACTLY.search(text) or _EXACTLY_WORD.search(text)
    if found is None:
        return None
    words = found[1].strip()
    if len(words) > 1 and not words.startswith("```") and words[0] + words[-1] in ('""', "''", "“”", "``"):
        words = words[1:-1]
    return words or None


def _counting(text: str) -> str | None:
    found = _COUNT.search(text)
    if found is None:
        return None
    first = int(found[1] or 1)
    return ", ".join(str(n) for n in range(first, int(found[2]) + 1)) or str(first)


def _long_text(text: str) -> str | None:
    found = _WORDS.search(text)
    if found is None:
        return None
    return words(min(int(found[1]), 100_000))


def words(count: int) -> str:
    """``count`` words of running text, twelve to a sentence, five sentences to a paragraph."""
    out: list[str] = []
    for place in range(count):
        word = _LOREM[place % len(_LOREM)]
        out.append(word.capitalize() if place % 12 == 0 else word)
        if place == count - 1:
            out[-1] += "."
        elif place % 12 == 11:
            out[-1] += ".\n\n" if place % 60 == 59 else ". "
        else:
            out[-1] += " "
    return "".join(out)


_OPERATIONS: Final[dict[str, Callable[[float, float], float]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}
_SIGNS: Final = {"x": "*", "×": "*", "÷": "/"}


def _arithmetic(text: str) -> str | None:
    found = _SUM.search(text)
    if found is None or len(text) > 200:
        return None
    sign = _SIGNS.get(found[2], found[2])
    left, right = float(found[1]), float(found[3])
    if sign == "/" and right == 0:
        return "That would be a division by zero."
    return f"{found[1]} {found[2]} {found[3]} = {_OPERATIONS[sign](left, right):.10g}"


def _echo(prompt: Prompt) -> str:
    parts = []
    if prompt.text:
        parts.append(f"You said: {prompt.text}")
    for attachment in prompt.attachments:
        title = f" “{attachment.title}”" if attachment.title else ""
        parts.append(
            f"I received {_article(attachment.kind)}{title} ({attachment.media_type}, {attachment.size} bytes)."
        )
    return "\n\n".join(parts) or "I received an empty message."


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def hints_of(prompt: Prompt) -> Hints:
    """Phrases of the question the turn is about, and of the results that came in."""
    return Hints("\n".join([prompt.question, *(result.text for result in prompt.results)]))
