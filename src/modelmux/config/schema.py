"""The one table of settings: name, type, default, environment names and a sentence for each.

The reference page, the commented template, ``config show``, the reading of the environment and shell completion are
made of it (``settings.py``). No reading of files or environment here, and no decisions.

A setting's own environment name is ``MODELMUX_`` and its path, ``MODELMUX_SERVER_PORT``; ``MODELMUX_SERVER__PORT`` is
read too. The names given here are the further ones: of the 1.x program, of Google's and of Anthropic's tools.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from msgspec import Meta, Struct, field

from modelmux.catalog import Catalog, builtin
from modelmux.config.values import Bytes, Milliseconds, Seconds, Secret

_URL = (
    "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/publishers/anthropic/models/"
    "claude-sonnet-4-6"
)

LogLevel = Literal["trace", "debug", "info", "warn", "error"]
#: For what makes no sense without any time.
_MORE_THAN_NONE = Meta(gt=0)
StreamMode = Literal["auto", "standard", "always", "buffered", "never", "non-streaming"]


@dataclass(frozen=True, slots=True)
class Env:
    """An environment variable that sets a value.

    :param deprecated: works, with a warning that names its successor.
    :param base64: the variable holds the value in base64.
    :param shared: other programs read it too, so that it may be set for their sake.
    """

    name: str
    deprecated: bool = False
    base64: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What a setting is for, in a sentence, and its environment names beside the one made of its path; the first that
    is set wins.

    :param example: a value to show where there is no default to show.
    """

    text: str
    env: tuple[Env, ...] = ()
    example: Any = None


def about(text: str, *env: str | Env, example: Any = None) -> About:
    return About(text, tuple(Env(e) if isinstance(e, str) else e for e in env), example)


def _shared(name: str) -> Env:
    return Env(name, shared=True)


class Server(Struct, forbid_unknown_fields=True, kw_only=True):
    """Who may reach the gateway, and how it behaves."""

    host: Annotated[str, about("Address to listen on; anything but loopback needs api_keys.")] = "127.0.0.1"
    port: Annotated[
        int,
        about("Port to listen on; 0 takes a free one.", Env("PORT", deprecated=True)),
        Meta(ge=0, le=65535),
    ] = 3000
    log_level: Annotated[LogLevel, about("The least severe log lines to write.")] = "info"
    log_format: Annotated[
        Literal["console", "json"], about("Log lines on the console for people, or as JSON objects for machines.")
    ] = "console"
    enable_retries: Annotated[bool, about("Whether a failed attempt is repeated.")] = True
    max_retry_attempts: Annotated[int, about("Attempts after the first."), Meta(ge=0, le=100)] = 3
    api_keys: Annotated[
        list[Secret],
        about("Keys that clients send as Authorization: Bearer or x-api-key.", "MODELMUX_API_KEYS",
              "MODELMUX_MASTER_KEY"),
    ] = []  # fmt: skip
    allow_unauthenticated: Annotated[
        bool, about("Listen on a public address without keys, because something in front asks for them.")
    ] = False
    cors_origins: Annotated[
        list[str], about('Origins of web pages that may call the gateway, such as "https://chat.example.com".')
    ] = []
    strict: Annotated[bool, about("Refuse a request instead of changing or ignoring any part of it.")] = False
    max_body_bytes: Annotated[Bytes, about("Largest request body; Vertex AI takes no more.")] = Bytes(30 * 2**20)
    drain_delay: Annotated[
        Seconds,
        about("How long a gateway told to stop serves on while /readyz says 503; load balancers want some seconds."),
    ] = Seconds(0)
    drain_timeout: Annotated[
        Seconds, about("How long running requests may take to finish once the gateway was told to stop.")
    ] = Seconds(30)
    workers: Annotated[
        int, about("Processes that share the requests; each uses one core of the machine."), Meta(ge=1, le=64)
    ] = 1


class Logs(Struct, forbid_unknown_fields=True, kw_only=True):
    """Log files, beside the lines on the console: one a day, of JSON objects."""

    file: Annotated[bool, about("Whether to write log files.")] = True
    directory: Annotated[
        str | None,
        about(
            "Where log files go; the usual place of the platform if not set.",
            "MODELMUX_LOG_DIR",
            example="/var/log/modelmux",
        ),
    ] = None
    keep: Annotated[int, about("How many daily files are kept."), Meta(ge=1, le=3650)] = 30


class Auth(Struct, forbid_unknown_fields=True, kw_only=True):
    """Google credentials. The first that is set wins: access_token, service_account_json, service_account_file; with
    none, Application Default Credentials."""

    access_token: Annotated[
        Secret | None, about("A Google access token. It lasts an hour: for trying things out.", example="ya29.…")
    ] = None
    service_account_json: Annotated[
        Secret | None,
        about(
            "A credential as JSON text.",
            Env("GCP_SERVICE_ACCOUNT_KEY", deprecated=True, base64=True),
            example='{"type": "service_account", …}',
        ),
    ] = None
    service_account_file: Annotated[
        str | None,
        about(
            "A credential file of any of Google's types; ~ is your home.",
            _shared("GOOGLE_APPLICATION_CREDENTIALS"),
            example="~/key.json",
        ),
    ] = None


class VertexDeployment(Struct, forbid_unknown_fields=True, kw_only=True):
    """One place that can serve a model. What is unset comes from the model's entry, then from ``[vertex]``."""

    model: Annotated[str | None, about("Vertex AI's id of the model served here.", example="claude-sonnet-4-6")] = None
    project: Annotated[str | None, about("Google Cloud project.", example="my-project")] = None
    location: Annotated[str | None, about("global, us, eu or a region.", example="global")] = None
    url: Annotated[str | None, about("The whole resource URL; wins over the parts.", example=_URL)] = None
    max_in_flight: Annotated[
        int | None, about("Most requests it serves at a time; others wait or go elsewhere.", example=100), Meta(ge=1)
    ] = None
    weight: Annotated[int, about("Share of the requests among those of the same order."), Meta(ge=0, le=1000)] = 1
    order: Annotated[int, about("Lower ones are used first; the others when those fail."), Meta(ge=0, le=1000)] = 0


class ModelTimeouts(Struct, forbid_unknown_fields=True, kw_only=True):
    """Time limits of one model. What is unset comes from ``[timeouts]``."""

    connect: Annotated[Seconds | None, about("As timeouts.connect.", example=Seconds(5)), _MORE_THAN_NONE] = None
    send: Annotated[Seconds | None, about("As timeouts.send.", example=Seconds(60)), _MORE_THAN_NONE] = None
    first_byte: Annotated[Seconds | None, about("As timeouts.first_byte.", example=Seconds(600)), _MORE_THAN_NONE] = (
        None
    )
    first_token: Annotated[Seconds | None, about("As timeouts.first_token.", example=Seconds(20))] = None
    idle: Annotated[Seconds | None, about("As timeouts.idle.", example=Seconds(300)), _MORE_THAN_NONE] = None
    total: Annotated[Seconds | None, about("As timeouts.total.", example=Seconds(900)), _MORE_THAN_NONE] = None


class VertexModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """A model under a name of your own. What is unset comes from ``[vertex]``."""

    name: Annotated[str, about("What clients ask for; case does not matter.", example="fast")]
    model: Annotated[
        str | None, about("Vertex AI's id of the model; the name if not set.", example="claude-sonnet-4-6")
    ] = None
    aliases: Annotated[list[str], about("Further names for the same.")] = []
    project: Annotated[str | None, about("Google Cloud project.", example="my-project")] = None
    region: Annotated[
        str | None, about("The same as location; where both are set, it chooses the host.", example="global")
    ] = None
    location: Annotated[str | None, about("global, us, eu or a region.", example="global")] = None
    locations: Annotated[list[str], about("Several locations, tried in this order.")] = []
    publisher: Annotated[str | None, about("Publisher of the model.", example="anthropic")] = None
    url: Annotated[
        str | None, about("The whole resource URL, with or without the verb; wins over the parts.", example=_URL)
    ] = None
    deployments: Annotated[list[VertexDeployment], about("Several places with weights and order.")] = []
    max_in_flight: Annotated[
        int | None, about("Most requests that each of its places serves at a time.", example=100), Meta(ge=1)
    ] = None
    timeouts: Annotated[
        ModelTimeouts | None, about("Time limits of this model; what is unset comes from [timeouts].")
    ] = None
    geography: Annotated[
        str | None, about("us, eu or a country's region prefix that no call may leave.", example="eu")
    ] = None
    forced_tool_choice: Annotated[
        Literal["error", "downgrade"] | None,
        about("As vertex.forced_tool_choice, for this model.", example="downgrade"),
    ] = None
    prefill: Annotated[
        Literal["error", "continue"] | None, about("As vertex.prefill, for this model.", example="continue")
    ] = None
    caching: Annotated[bool | None, about("As vertex.caching, for this model.", example=False)] = None


class Vertex(Struct, forbid_unknown_fields=True, kw_only=True):
    """Vertex AI: the project, the place, the models."""

    project: Annotated[
        str | None,
        about("Google Cloud project.", "MODELMUX_PROJECT", "VERTEX_PROJECT", _shared("ANTHROPIC_VERTEX_PROJECT_ID"),
              _shared("GOOGLE_CLOUD_PROJECT"), _shared("VERTEXAI_PROJECT"), example="my-project"),
    ] = None  # fmt: skip
    region: Annotated[
        str | None,
        about("The same as location; where both are set, it chooses the host.", "VERTEX_REGION", example="global"),
    ] = None
    location: Annotated[
        str | None,
        about("global, us, eu or a region.", "MODELMUX_LOCATION", "VERTEX_LOCATION", _shared("CLOUD_ML_REGION"),
              _shared("GOOGLE_CLOUD_LOCATION"), _shared("VERTEXAI_LOCATION"), example="global"),
    ] = None  # fmt: skip
    publisher: Annotated[str, about("Publisher of the models.", "VERTEX_PUBLISHER")] = "anthropic"
    model: Annotated[
        str | None,
        about(
            "The default model, listed first under its undated name.", "VERTEX_MODEL_ID", example="claude-sonnet-4-6"
        ),
    ] = None
    display_name: Annotated[
        str | None, about("The name of the default model.", "LLM_MODEL_DISPLAY_NAME", "LLM_MODEL", example="sonnet")
    ] = None
    url: Annotated[
        str | None,
        about(
            "The default model's whole resource URL, with or without the verb; wins over the parts.",
            "LLM_URL",
            example=_URL,
        ),
    ] = None
    base_url: Annotated[
        str | None,
        about("Replaces scheme and host of Google's endpoint: a private endpoint, the emulator.",
              _shared("ANTHROPIC_VERTEX_BASE_URL"), example="https://vertex.example.com"),
    ] = None  # fmt: skip
    geography: Annotated[
        str | None, about("us, eu or a country's region prefix that no call of any model may leave.", example="eu")
    ] = None
    fallback_to_default: Annotated[bool, about("Whether unknown model names go to the default model.")] = False
    forced_tool_choice: Annotated[
        Literal["error", "downgrade"],
        about("On a model that cannot be forced to call a tool: refuse (error), or leave it the choice (downgrade)."),
    ] = "error"
    prefill: Annotated[
        Literal["error", "continue"],
        about("On a model that cannot continue an assistant message: refuse (error), or ask it to go on (continue)."),
    ] = "error"
    caching: Annotated[bool, about("Set prompt-cache breakpoints where the client sets none and they pay.")] = True
    models: Annotated[list[VertexModel], about("Models under names of your own.")] = []


class Alias(Struct, forbid_unknown_fields=True, kw_only=True):
    """A further name for a model that is served, and who takes the name over one day."""

    model: Annotated[str, about("The name or the Claude model that is meant.", example="claude-sonnet-4-6")]
    successor: Annotated[str | None, about("What is meant from the day in `from` on.", example="claude-sonnet-5")] = (
        None
    )
    from_: Annotated[dt.date | None, about("The first day of the successor.")] = field(default=None, name="from")


class StreamClient(Struct, forbid_unknown_fields=True, kw_only=True):
    """How to stream to the clients that match; the first row that matches decides."""

    user_agent: Annotated[str | None, about("Part of the User-Agent header, in any case.", example="my-client")] = None
    header: Annotated[str | None, about("Name of a header to look at.", example="x-client")] = None
    contains: Annotated[str | None, about("Part of that header's value, in any case; without it, being there counts.", example="batch")] = None  # fmt: skip  # noqa: E501
    mode: Annotated[
        Literal["standard", "always", "buffered", "never", "non-streaming", "json"],
        about("As streaming.mode; json answers a request for a stream with one JSON object.", example="never"),
    ]


class Streaming(Struct, forbid_unknown_fields=True, kw_only=True):
    """How replies are streamed to clients that ask for a stream."""

    mode: Annotated[
        StreamMode,
        about("auto by client; standard or always as the upstream sends; buffered in larger pieces; never in one."),
    ] = "auto"
    buffer_size: Annotated[Bytes, about("Most text that buffered holds back.")] = Bytes(65536)
    chunk_timeout_ms: Annotated[Milliseconds, about("Longest time that buffered holds text back.")] = Milliseconds(5000)
    keep_alive: Annotated[
        Seconds,
        about("How often a client that waits for its stream's beginning gets a comment, so that nothing between hangs "
              "up; 0 for never."),
    ] = Seconds(15)  # fmt: skip
    clients: Annotated[list[StreamClient], about("Rules by client, looked at before the built-in ones.")] = []


class Timeouts(Struct, forbid_unknown_fields=True, kw_only=True):
    """How long a request may take at each of its stages. A client may ask for less in total with the header
    ``x-modelmux-timeout`` (seconds)."""

    connect: Annotated[
        Seconds, about("For a connection: name lookup, TCP, proxy and TLS together."), _MORE_THAN_NONE
    ] = Seconds(5)
    send: Annotated[Seconds, about("For handing the request to the network."), _MORE_THAN_NONE] = Seconds(60)
    first_byte: Annotated[Seconds, about("From then to the reply's first byte."), _MORE_THAN_NONE] = Seconds(600)
    first_token: Annotated[
        Seconds,
        about("From an attempt's beginning to a stream's first content; another place is tried then. 0 waits on."),
    ] = Seconds(0)
    idle: Annotated[Seconds, about("Between two reads of a reply; pings count."), _MORE_THAN_NONE] = Seconds(300)
    total: Annotated[Seconds, about("From a request's arrival to the end of its answer."), _MORE_THAN_NONE] = Seconds(
        3600
    )


class Limits(Struct, forbid_unknown_fields=True, kw_only=True):
    """How much runs at once. Several workers share the limits out among themselves."""

    requests: Annotated[int, about("Most requests at a time; others wait, and then get a 503."), Meta(ge=1)] = 4096
    queue: Annotated[int, about("Most requests that wait for room."), Meta(ge=0)] = 512
    queue_timeout: Annotated[Seconds, about("How long one waits for room, and for a connection.")] = Seconds(5)


class Fetch(Struct, forbid_unknown_fields=True, kw_only=True):
    """Downloading the images and documents that requests refer to by URL, because Vertex AI takes no URLs."""

    enabled: Annotated[bool, about("Whether to download them; without, such requests are refused.")] = True
    allow: Annotated[list[str], about("Host names to allow, *.example.com with its sub-domains; none allows all.")] = []
    deny: Annotated[list[str], about("Host names to refuse, written alike.")] = []
    allow_private: Annotated[
        list[str], about("Networks such as 10.1.0.0/16 that may be reached although they are not public.")
    ] = []
    extra_ports: Annotated[list[int], about("Ports that may be reached beside 80 and 443.")] = []
    timeout: Annotated[Seconds, about("Time for one URL, redirects included.")] = Seconds(15)
    max_bytes: Annotated[Bytes, about("Largest download.")] = Bytes(20 * 2**20)


class Config(Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings of a gateway."""

    provider: Annotated[Literal["vertex"], about("Who serves the models.", "LLM_PROVIDER")] = "vertex"
    server: Server = field(default_factory=Server)
    logs: Logs = field(default_factory=Logs)
    auth: Auth = field(default_factory=Auth)
    vertex: Vertex = field(default_factory=Vertex)
    streaming: Streaming = field(default_factory=Streaming)
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    fetch: Fetch = field(default_factory=Fetch)
    aliases: Annotated[
        dict[str, str | Alias],
        about(
            'Further names: gpt-4o = "claude-sonnet-5", or a table with a successor.',
            example={"gpt-4o": "claude-sonnet-4-6"},
        ),
    ] = {}
    catalog: Annotated[
        list[dict[str, Any]],
        about(
            "Cards that add to the model catalog or replace fields of its cards, by id.",
            example={"id": "claude-sonnet-4-6", "max_output": 64000},
        ),
    ] = []

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
