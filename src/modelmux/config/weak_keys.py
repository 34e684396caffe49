"""API keys that are no secret: examples out of manuals, placeholders, masks, nothing. Gateways open to everybody who
has read a manual have been found by scans; such a key is refused where the gateway is made.

What must not come in here: judging how good a key is beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from modelmux.config.load import ConfigError

#: In lower case, without the usual prefix and without what separates words.
_EXAMPLES: Final = frozenset({
    "1234", "12345", "123456", "12345678", "123456789", "1234567890", "abc123", "admin", "anything", "apikey",
    "changeit", "changeme", "default", "dummy", "example", "fake", "key", "litellm", "master", "masterkey", "modelmux",
    "mykey", "myapikey", "mysecretkey", "none", "null", "password", "placeholder", "root", "secret", "secretkey",
    "test", "testkey", "todo", "token", "yourapikey", "yourkey", "yourkeyhere", "yourapikeyhere",
})  # fmt: skip
#: What stands where a key was taken out: stars, dots, crosses, <key>, ${KEY}.
_MASK: Final = re.compile(r"(?:modelmux)?[*.…•x]+|secret\('\*+'\)|<.*>|\$\{.*\}|\{\{.*\}\}")
_HINT: Final = "Make one of your own, such as the output of: openssl rand -hex 24"


def check_keys(keys: Iterable[str]) -> None:
    """Pass keys that may be secrets.

    :raises ConfigError: naming the places of those that cannot be; the keys themselves are not repeated.
    """
    problems = [
        f"server.api_keys[{index}]: {what}" for index, key in enumerate(keys) if (what := _not_secret(key)) is not None
    ]
    if problems:
        raise ConfigError(problems, hint=_HINT)


def _not_secret(key: str) -> str | None:
    bare = re.sub(r"[\s_-]", "", key.lower().strip().removeprefix("sk-"))
    if not bare:
        return "it is empty"
    if _MASK.fullmatch(bare):
        return "it is a placeholder for a key, not a key"
    return "it is an example that stands in manuals: everybody knows it" if bare in _EXAMPLES else None
