"""Which key a client gets, and whether the gateway of this machine accepts it. No I/O."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from modelmux.cli.connect.render import KEY_VARIABLE, NO_KEY
from modelmux.config.schema import Config
from modelmux.config.values import Secret
from modelmux.server.account_keys import is_key_required

#: Of a variable with a key of another gateway, or of the demo.
STALE: Final = f"{KEY_VARIABLE} is set, but not to one of server.api_keys"
_REFUSED: Final = {
    "option": "--api-key is not one of the gateway's server.api_keys or virtual keys",
    "variable": (
        f"${KEY_VARIABLE} is not one of the gateway's server.api_keys or virtual keys: set it to one, or unset it"
    ),
    "configuration": (
        "the running gateway has other keys than this configuration: restart it, or pass one of its keys with --api-key"
    ),
    "unknown": f"pass a virtual key or one of the gateway's server.api_keys with --api-key, or in ${KEY_VARIABLE}",
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


class KeyAccess(Struct, frozen=True):
    """Whether a gateway asks for a key.

    :param needs_key: None if that is not known here.
    :param kind: what the key is, within a sentence.
    :param is_static: the configuration has it.
    """

    needs_key: bool | None
    kind: str = "a key of the gateway"
    is_static: bool = False


def key_access(config: Config) -> KeyAccess:
    """Of the gateway that has this configuration. Whether its accounts have keys is not looked up."""
    if config.accounts.enabled and not config.server.api_keys:
        if is_key_required(config, config.server.host):
            return KeyAccess(needs_key=True, kind="a virtual key, which `modelmux keys create` prints")
        return KeyAccess(None, f"a virtual key, or any word, such as {NO_KEY}, while there is none")
    if config.accounts.enabled:
        return KeyAccess(needs_key=True, kind="a virtual key, or one of server.api_keys", is_static=True)
    if config.server.api_keys:
        return KeyAccess(needs_key=True, kind="one of server.api_keys", is_static=True)
    return KeyAccess(needs_key=False)


def choose_key(
    option: str | None, variable: str | None, config: Config | None, *, is_here: bool, exported: bool
) -> ClientKey:
    """The key of a client: of the option, else the variable, else the configuration.

    With accounts, a variable that is none of ``server.api_keys`` has a virtual key, as far as is known here.

    :param config: None if there is none, as for a gateway that is named by its URL.
    :param is_here: the gateway has this configuration; its keys are not for whatever gateway a URL names.
    """
    configured = config.server.api_keys if config is not None else []
    has_accounts = config is not None and config.accounts.enabled
    accepted = configured[0] if configured and is_here else None
    if option:
        return ClientKey(Secret(option), "option", accepted, exported=exported)
    if variable:
        is_static = variable in {key.reveal() for key in configured}
        is_stale = accepted is not None and not has_accounts and not is_static
        return ClientKey(Secret(variable), "variable", accepted, is_stale, exported)
    return ClientKey(accepted, "configuration" if accepted is not None else "unknown", accepted, exported=exported)
