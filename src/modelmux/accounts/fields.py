"""What the fields of keys, teams and people may hold. Errors name the field, the value and what is expected."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final, get_args
from zoneinfo import ZoneInfo

from modelmux.accounts.attribution import MAX_TAGS, is_tag
from modelmux.accounts.rates import MAX_RATE, Rates
from modelmux.accounts.records import Api

MAX_NAME: Final = 128
MAX_MODELS: Final = 100
MAX_ADDRESSES: Final = 100
#: Microseconds in UTC of 9999-12-31, the last day that can be written.
MAX_INSTANT: Final = 253_402_214_400_000_000
_MODEL: Final = re.compile(r"[A-Za-z0-9._:/@*-]{1,128}")
_EMAIL: Final = re.compile(r"[^\s@,;<>\"]{1,64}@[^\s@,;<>\"]{1,255}")


#: What is printable to Python, and shows nothing: fillers, selectors of variants, and the empty pattern of Braille.
_UNSEEN: Final = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]|(?<=\w)\ufe0f"
)


class FieldError(ValueError):
    """A field that cannot be used.

    :param field: its name, for people and for ``param`` of the admin API.
    :param expected: what would do.
    """

    def __init__(self, field: str, problem: str, expected: str) -> None:
        super().__init__(f"{field}: {problem}; {expected}")
        self.field = field
        self.problem = problem
        self.expected = expected

    @property
    def remedy(self) -> str:
        """What would do, as a sentence."""
        text = self.expected[:1].upper() + self.expected[1:]
        return text if text.endswith("?") else f"{text}."


class RecordConflict(FieldError):
    """The value would do, but not for the records as they are.

    :param code: ``managed``, ``revoked``, ``rotated`` or ``taken``.
    """

    def __init__(self, code: str, field: str, problem: str, expected: str) -> None:
        super().__init__(field, problem, expected)
        self.code = code


def name(field: str, value: str) -> str:
    """A name without spaces around it. What cannot be seen is refused, such as marks that change the direction of text.

    :raises FieldError:
    """
    value = value.strip()
    if not value or len(value) > MAX_NAME or not value.isprintable() or _UNSEEN.search(value):
        raise FieldError(field, f"{value[:MAX_NAME]!r} is not a name", f"expected 1 to {MAX_NAME} printable characters")
    return value


def email(field: str, value: str) -> str:
    """In lower case, without spaces around it. :raises FieldError:"""
    value = value.strip().lower()
    if _EMAIL.fullmatch(value) is None or not value.isprintable() or _UNSEEN.search(value):
        raise FieldError(
            field, f"{value[:MAX_NAME]!r} is not an e-mail address", "expected one such as ann@example.com"
        )
    return value


def instant(field: str, value: int) -> int:
    """Microseconds in UTC that can be written as a date. :raises FieldError:"""
    if not 0 <= value <= MAX_INSTANT:
        raise FieldError(field, "it is not between 1970 and 9999-12-31", "expected a time within them")
    return value


def zone(field: str, value: str) -> str:
    """:raises FieldError: this machine's list of time zones has no such name."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        problem = f"{value[:MAX_NAME]!r} is not a time zone"
        raise FieldError(field, problem, "expected a name such as Europe/Berlin") from None
    return value


def models(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Patterns, each once. :raises FieldError:"""
    unique = tuple(dict.fromkeys(value.strip() for value in values))
    if len(unique) > MAX_MODELS:
        raise FieldError(field, f"{len(unique)} entries", f"expected at most {MAX_MODELS}")
    for value in unique:
        if _MODEL.fullmatch(value) is None:
            raise FieldError(
                field, f"{value[:MAX_NAME]!r} is not a model", "expected names such as fast or claude-haiku-*"
            )
    return unique


def apis(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Names of APIs, each once. :raises FieldError:"""
    unique, known = tuple(dict.fromkeys(value.strip() for value in values)), get_args(Api)
    for value in unique:
        if value not in known:
            raise FieldError(field, f"{value[:MAX_NAME]!r} is not an API", f"expected some of {', '.join(known)}")
    return unique


def addresses(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Networks in CIDR notation, each once; an address is a network of one. :raises FieldError:"""
    unique: dict[str, None] = {}
    for value in values:
        try:
            unique[str(ipaddress.ip_network(value.strip()))] = None
        except ValueError as error:
            problem = f"{value[:MAX_NAME]!r} is not a network"
            if "host bits" in str(error):
                network = ipaddress.ip_network(value.strip(), strict=False)
                raise FieldError(field, problem, f"did you mean {network}?") from None
            raise FieldError(field, problem, "expected one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32") from None
    if len(unique) > MAX_ADDRESSES:
        raise FieldError(field, f"{len(unique)} entries", f"expected at most {MAX_ADDRESSES}")
    return tuple(unique)


def tags(field: str, values: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Sorted; of two with one name the last one counts. :raises FieldError:"""
    unique = dict(values)
    if len(unique) > MAX_TAGS:
        raise FieldError(field, f"{len(unique)} tags", f"expected at most {MAX_TAGS}")
    for pair in unique.items():
        if not is_tag(*pair):
            problem = f"{'='.join(pair)[:MAX_NAME]!r} is not a tag"
            raise FieldError(field, problem, "expected app=chat: names of a-z 0-9 _ . -, values of printable ASCII")
    return tuple(sorted(unique.items()))


def rates(field: str, value: Rates) -> Rates | None:
    """None without any limit. :raises FieldError: its field is that of the limit."""
    del field
    for rate, limit in value.items():
        if not 1 <= limit <= MAX_RATE:
            raise FieldError(rate, f"{limit:,} cannot be a limit", f"expected 1 to {MAX_RATE:,}")
    return None if value == Rates() else value
