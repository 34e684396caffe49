"""Plain text replies: greetings, echoes, sums, long texts.

Pure and deterministic: the same prompt always gets the same text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from modelmux.emulator.model.phrases import Phrases
from modelmux.emulator.model.prompt import Prompt, ToolResult


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
_WORD_COUNT: Final = re.compile(r"\b(?:write|give me|generate|produce|say)\D{0,40}?(\d{1,6}) words\b", re.IGNORECASE)
_SUM: Final = re.compile(r"(-?\d+(?:\.\d+)?)\s*([-+*/x×÷])\s*(-?\d+(?:\.\d+)?)")
_FILLER_WORDS: Final = _words(
    """
    the gateway carries every word from one side to the other and loses none of them on the way
    because a stream that ends well says so and a stream that does not end well says that too
    """
)

_CANNED: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
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


def plain_reply(prompt: Prompt, model: str) -> str:
    """The text of a reply without tool calls."""
    if prompt.results:
        return quote_results(prompt.results)
    text = prompt.text
    for rule in (exact_text, _counting, _long_text, _arithmetic):
        reply = rule(text)
        if reply is not None:
            return reply
    if not prompt.attachments:
        for pattern, template in _CANNED:
            if pattern.search(text):
                return template.format(model=model)
    return _echo(prompt)


def quote_results(results: list[ToolResult]) -> str:
    """A text that quotes the tool results."""
    if len(results) == 1:
        return _one_result(results[0])
    return "Here is what I found:\n\n" + "\n".join(f"- {_one_result(result)}" for result in results)


def _one_result(result: ToolResult) -> str:
    name = result.name or "The tool"
    if result.is_error:
        return f"{name} failed: {result.text or 'no message'}"
    return f"{name} returned: {result.text}" if result.text else f"{name} returned nothing."


def exact_text(text: str) -> str | None:
    """The text that the user asks for word by word, as in ``say exactly: X``; None if there is none."""
    match = _EXACTLY.search(text) or _EXACTLY_WORD.search(text)
    if match is None:
        return None
    reply = match[1].strip()
    if len(reply) > 1 and not reply.startswith("```") and reply[0] + reply[-1] in ('""', "''", "“”", "``"):
        reply = reply[1:-1]
    return reply or None


def _counting(text: str) -> str | None:
    match = _COUNT.search(text)
    if match is None:
        return None
    first = int(match[1] or 1)
    return ", ".join(str(n) for n in range(first, int(match[2]) + 1)) or str(first)


def _long_text(text: str) -> str | None:
    match = _WORD_COUNT.search(text)
    if match is None:
        return None
    return filler_text(min(int(match[1]), 100_000))


def filler_text(count: int) -> str:
    """``count`` words of running text: twelve words per sentence, five sentences per paragraph."""
    out: list[str] = []
    for index in range(count):
        word = _FILLER_WORDS[index % len(_FILLER_WORDS)]
        out.append(word.capitalize() if index % 12 == 0 else word)
        if index == count - 1:
            out[-1] += "."
        elif index % 12 == 11:
            out[-1] += ".\n\n" if index % 60 == 59 else ". "
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
    match = _SUM.search(text)
    if match is None or len(text) > 200:
        return None
    sign = _SIGNS.get(match[2], match[2])
    left, right = float(match[1]), float(match[3])
    if sign == "/" and right == 0:
        return "That would be a division by zero."
    return f"{match[1]} {match[2]} {match[3]} = {_OPERATIONS[sign](left, right):.10g}"


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


def phrases_of(prompt: Prompt) -> Phrases:
    """Phrases of the current question and of the tool results."""
    return Phrases("\n".join([prompt.question, *(result.text for result in prompt.results)]))
