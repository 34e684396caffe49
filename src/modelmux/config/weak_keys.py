"""API keys that are not secret: examples from manuals, placeholders, masks, empty ones. Scanners find gateways that use
them, so such a key is rejected when the gateway is built.

Not in this module: judging the strength of a key beyond that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from modelmux.config.errors import ConfigError

#: In lower case, without the usual prefix and without separators.
_EXAMPLES: Final = frozenset({
    "1234", "12345", "123456", "12345678", "123456789", "1234567890", "abc123", "admin", "anything", "apikey",
    "changeit", "changeme", "default", "dummy", "example", "fake", "key", "litellm", "master", "masterkey", "modelmux",
    "mykey", "myapikey", "mysecretkey", "none", "null", "password", "placeholder", "root", "secret", "secretkey",
    "test", "testkey", "todo", "token", "yourapikey", "yourkey", "yourkeyhere", "yourapikeyhere",
})  # fmt: skip
#: What replaces a key that was removed: stars, dots, crosses, <key>, ${KEY}.
_MASK: Final = re.compile(r"(?:modelmux)?[*.…•x]+|secret\('\*+'\)|<.*>|\$\{.*\}|\{\{.*\}\}")
#: What other programs replace by a secret that lies elsewhere.
_REFERENCE: Final = re.compile(r"(?:env|file|vault|op|secret):\S+|os\.environ/\S+|\$[a-z_(].*|@/\S+", re.DOTALL)
_HINT: Final = "Generate a key, for example with: openssl rand -hex 24"


def check_keys(keys: Iterable[str]) -> None:
    """Accept keys that may be secret.

    :raises ConfigError: with the positions of those that are not; the keys themselves are not repeated.
    """
    problems = [
        f"server.api_keys[{index}]: {what}" for index, key in enumerate(keys) if (what := weakness(key)) is not None
    ]
    if problems:
        raise ConfigError(problems, hint=_HINT)


def weakness(key: str) -> str | None:
    """Why a key is not secret; None if it may be."""
    if _REFERENCE.fullmatch(key.strip().lower()):
        return "it names a variable or a file, which is not read: the name would be the key"
    bare = re.sub(r"[\s_-]", "", key.lower().strip().removeprefix("sk-"))
    if not bare:
        return "it is empty"
    if _MASK.fullmatch(bare):
        return "it is a placeholder for a key, not a key"
    return "it is a well-known example from manuals" if bare in _EXAMPLES else None
