"""Settings of the emulator, as plain data. Not in this module: reading files or the environment."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from modelmux.emulator.faults.rules import Scenario

#: Body limit of Claude on Vertex AI: the real service says that 30037042 bytes exceed 30.000MB (messages.md 4).
MAX_BODY_BYTES: Final = 30_000_000


class EmulatorSettings(Struct, frozen=True, kw_only=True):
    """Settings of one emulator. By default it replies at the pace of a model and accepts any token.

    :param tokens_per_second: pace of streams and delay of unary replies; 0 replies at once.
    :param first_token_delay: seconds before the first content; ignored when ``tokens_per_second`` is 0.
    :param ping_interval: seconds of silence after which a stream gets a ping.
    :param seed: changes ids and signatures. The seed of a scenario's probabilities is in its file.
    :param require_token: accept only access tokens that this emulator issued and that have not expired.
    :param token_lifetime: ``expires_in`` of issued tokens, seconds.
    :param public_key: PEM of a public key or certificate; if set, the signature of JWT grants is checked.
    :param projects: the only project ids that exist; None accepts any.
    :param requests_per_minute: quota of each bucket (project, location, model lineage or model); None is unlimited.
    :param prefix_check: handling of thinking blocks of another conversation, on models with preserved thinking.
    :param history_needs_tools: reject tool blocks in the history of a request without tools. Older service versions
        did; a request recorded in 2026 was accepted, so it is off by default.
    :param strict_betas: refuse every value of ``anthropic-beta`` that the emulator does not know.
    :param refused_betas: further values to refuse, each as ``value`` or ``value@location``; both may be globs.
    :param count_cache_control: False: token counting refuses ``cache_control``, as it did in 2025.
    :param data_sharing: False: 403 for models that require the publisher data-sharing setting.
    :param keep_requests: how many of the last requests ``/_emulator/requests`` lists.
    :param scenario: scripted faults, see ``load_scenario``.
    """

    tokens_per_second: float = 80.0
    first_token_delay: float = 0.2
    ping_interval: float = 5.0
    seed: int = 0
    require_token: bool = False
    token_lifetime: int = 3600
    public_key: str | None = None
    projects: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    prefix_check: Literal["error", "drop", "off"] = "error"
    history_needs_tools: bool = False
    strict_betas: bool = False
    refused_betas: tuple[str, ...] = ()
    count_cache_control: bool = True
    data_sharing: bool = True
    keep_requests: int = 200
    max_body_bytes: int = MAX_BODY_BYTES
    scenario: Scenario | None = None
