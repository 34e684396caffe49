"""Which key a client gets, and whether the gateway of this machine accepts it. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct

from modelmux.cli.connect.render import KEY_VARIABLE
from modelmux.config.values import Secret

#: Of a variable with a key of another gateway, or of the demo.
STALE: Final = f"{KEY_VARIABLE} is set, but not to one of server.api_keys"
_REFUSED: Final = {
    "option": "--api-key is not one of the gateway's server.api_keys",
    "variable": f"${KEY_VARIABLE} is not one of the gateway's server.api_keys: set it to one, or unset it",
    "configuration": (
        "the running gateway has other keys than this configuration: restart it, or pass one of its keys with --api-key"
    ),
    "unknown": f"pass one of the gateway's server.api_keys with --api-key, or in ${KEY_VARIABLE}",
}


class ClientKey(Struct, frozen=True):
    """The key of a client.

    :param key: None if it is not known.
    :param source: where it is from: ``--api-key``, the variable or ``server.api_keys``.
    :param accepted: a key that the gateway of this machine accepts; None if that is not known, or if it needs none.
    :param is_stale: the variable has a key that this gateway refuses: one of another gateway, or of the demo.
    :param exported: whether programs that are started in the same shell have the variable.
    """

    key: Secret | None
    source: Literal["option", "variable", "configuration", "unknown"]
    accepted: Secret | None = None
    is_stale: bool = False
    exported: bool = False

    @property
    def reference_works(self) -> bool:
        """Whether settings that refer to the variable work as they are."""
        return self.exported and self.source == "variable" and not self.is_stale

    @property
    def refused_hint(self) -> str:
        """What to do if the gateway refuses the key."""
        return _REFUSED[self.source]


def choose_key(
    option: str | None, variable: str | None, configured: Sequence[Secret], *, is_here: bool, exported: bool
) -> ClientKey:
    """The key of a client: of the option, else the variable, else the configuration.

    :param configured: ``server.api_keys``.
    :param is_here: the gateway has this configuration; its keys are not for whatever gateway a URL names.
    """
    accepted = configured[0] if configured and is_here else None
    if option:
        return ClientKey(Secret(option), "option", accepted, exported=exported)
    if variable:
        is_stale = accepted is not None and variable not in {key.reveal() for key in configured}
        return ClientKey(Secret(variable), "variable", accepted, is_stale, exported)
    return ClientKey(accepted, "configuration" if accepted is not None else "unknown", accepted, exported=exported)
