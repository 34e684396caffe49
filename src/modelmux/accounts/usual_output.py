"""How long the answers of a key usually are: what ``reserve = "expected"`` holds in place of the worst case."""

from __future__ import annotations

from collections import deque
from typing import Final

from msgspec.structs import replace

from modelmux.claude.demand import Demand

#: Answers of a key from a model that are remembered, and how many have to be before they say anything.
MOST_ANSWERS: Final = 200
LEAST_ANSWERS: Final = 20
#: Pairs of key and model; of one more, the one that was used longest ago is forgotten.
MOST_PAIRS: Final = 10_000


class UsualOutput:
    """The last answers of one process, by key and model."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str], deque[int]] = {}

    def add(self, key: str, model: str, tokens: int) -> None:
        """An answer that came whole. :param tokens: of output."""
        answers = self._answers.pop((key, model), None) or deque(maxlen=MOST_ANSWERS)
        answers.append(tokens)
        self._answers[key, model] = answers
        if len(self._answers) > MOST_PAIRS:
            del self._answers[next(iter(self._answers))]

    def expected(self, key: str, model: str, demand: Demand) -> Demand:
        """A demand with no more output than 95 of 100 answers had; as it is, while there are too few answers."""
        answers = self._answers.get((key, model), ())
        if len(answers) < LEAST_ANSWERS:
            return demand
        usual = sorted(answers)[-(-len(answers) * 95 // 100) - 1]
        return replace(demand, output=min(demand.output, usual))
