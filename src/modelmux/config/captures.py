"""Whether a configuration asks for bodies of requests to be kept."""

from __future__ import annotations

from modelmux.config.check import Problem
from modelmux.config.errors import ConfigError
from modelmux.config.schema import Config

_HINT = (
    "Set accounts.enabled = true, and let keys opt in: modelmux keys edit KEY --capture; or capture.without_account = "
    "true, for all requests without a virtual key."
)


def captures(config: Config) -> bool:
    """:raises ConfigError: the settings contradict each other, so that nothing would be kept."""
    capture = config.capture
    if not capture.enabled:
        if capture.without_account:
            problem = Problem(("capture", "without_account"), "it is true, but capture.enabled is not")
            raise ConfigError([str(problem)], hint="Set capture.enabled = true as well, or neither.")
        return False
    if config.traces.enabled is False:
        problem = Problem(
            ("capture", "enabled"), "bodies belong to records of requests, which traces.enabled turns off"
        )
        raise ConfigError([str(problem)], hint="Remove traces.enabled = false, or turn capture off.")
    if not config.accounts.enabled and not capture.without_account:
        problem = Problem(
            ("capture", "enabled"), "there are no accounts, so no key can opt in and nothing would be kept"
        )
        raise ConfigError([str(problem)], hint=_HINT)
    return True


def captured_whose(config: Config) -> str:
    """Of which requests bodies are kept, for people: ``of keys that …``."""
    parts = ["of virtual keys that opted in"] if config.accounts.enabled else []
    parts += ["of all requests without a virtual key"] if config.capture.without_account else []
    return " and ".join(parts)


def captured_days(config: Config) -> str:
    """How long they are kept."""
    days = config.capture.days
    return "a day" if days == 1 else f"{days} days"
