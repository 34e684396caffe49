"""Every setting, its type and its default. No reading of files or environment here."""

from __future__ import annotations

from typing import Any, Literal, Self

from msgspec import Struct, field

from modelmux.catalog import Catalog, builtin


class Secret:
    """A value that never shows itself: its repr and str are masks."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Server(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[server]``. ``max_retry_attempts`` counts the attempts after the first."""

    host: str = "127.0.0.1"
    port: int = 3000
    log_level: Literal["trace", "debug", "info", "warn", "error"] = "info"
    log_format: Literal["console", "json"] = "console"
    enable_retries: bool = True
    max_retry_attempts: int = 3
    api_keys: list[Secret] = []
    #: Listen on other than loopback without api_keys, because something in front authenticates.
    allow_unauthenticated: bool = False
    #: Refuse a request instead of changing or ignoring any part of it.
    strict: bool = False
    #: Google Cloud's own limit of a request body, in bytes.
    max_body_bytes: int = 30 * 1024 * 1024


class Auth(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[auth]``. The first that is set wins: access_token, service_account_json, service_account_file; with none,
    Application Default Credentials."""

    access_token: Secret | None = None
    service_account_json: Secret | None = None
    service_account_file: str | None = None


class VertexModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[[vertex.models]]``. What is unset comes from ``[vertex]``."""

    name: str
    model: str | None = None
    project: str | None = None
    region: str | None = None
    location: str | None = None
    locations: list[str] = []
    publisher: str | None = None
    url: str | None = None
    forced_tool_choice: Literal["error", "downgrade"] | None = None
    prefill: Literal["error", "continue"] | None = None
    caching: bool | None = None


class Vertex(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[vertex]``. ``base_url`` replaces scheme and host of Google's endpoint; ``url`` is one model's whole
    resource URL, with or without the verb."""

    project: str | None = None
    region: str | None = None
    location: str | None = None
    publisher: str = "anthropic"
    model: str | None = None
    url: str | None = None
    base_url: str | None = None
    fallback_to_default: bool = False
    #: On a model that cannot be forced to call a tool: refuse the request, or leave the choice to it.
    forced_tool_choice: Literal["error", "downgrade"] = "error"
    #: On a model that cannot continue an assistant message: refuse the request, or ask it to go on.
    prefill: Literal["error", "continue"] = "error"
    #: Set prompt-cache breakpoints where the client sets none and they pay.
    caching: bool = True
    models: list[VertexModel] = []


class Fetch(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[fetch]``: downloading the images and documents that requests refer to by URL, because Vertex AI takes no URLs.

    ``allow`` and ``deny`` hold host names, ``*.example.com`` covers sub-domains; ``allow_private`` networks such as
    ``10.1.0.0/16`` that may be reached although they are not public; ``extra_ports`` ports beside 80 and 443.
    """

    enabled: bool = True
    allow: list[str] = []
    deny: list[str] = []
    allow_private: list[str] = []
    extra_ports: list[int] = []
    timeout: float = 15.0
    max_bytes: int = 20 * 1024 * 1024


class Streaming(Struct, forbid_unknown_fields=True, kw_only=True):
    """``[streaming]``."""

    mode: Literal["auto", "standard", "always", "buffered", "never", "non-streaming"] = "auto"
    buffer_size: int = 65536
    chunk_timeout_ms: int = 5000


class Config(Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings of a gateway."""

    server: Server = field(default_factory=Server)
    auth: Auth = field(default_factory=Auth)
    vertex: Vertex = field(default_factory=Vertex)
    streaming: Streaming = field(default_factory=Streaming)
    fetch: Fetch = field(default_factory=Fetch)
    #: Cards that add to the model catalog or replace fields of its cards; ``id`` names the model.
    catalog: list[dict[str, Any]] = []

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """Settings as they stand in a TOML file, already parsed.

        :raises ConfigError: unknown keys or wrong types, all of them named.
        """
        from modelmux.config.load import convert  # the reading side knows how to explain what is wrong

        return convert(settings, cls)

    def __repr__(self) -> str:  # holds keys and project ids
        return "Config(…)"

    def build_catalog(self) -> Catalog:
        """The model catalog with this configuration's cards.

        :raises ConfigError: cards that cannot be used, all of them named.
        """
        from modelmux.config.load import add_cards

        return add_cards(builtin(), self.catalog)
