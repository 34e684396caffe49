"""The one table of settings: name, type, default, environment variables and a description of each.

The reference page, the commented template, ``config show``, the reading of the environment and shell completion are
generated from it (``settings.py``). It reads no file and no environment, and decides nothing.

The environment variable of a setting is ``MODELMUX_`` and its path, ``MODELMUX_SERVER_PORT``; ``MODELMUX_SERVER__PORT``
works too. The variables named here are additional: those of the 1.x program and of Google's and Anthropic's tools.
Former names of settings are in ``deprecated_names.py``.
"""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Annotated, Any, Literal, Self

from msgspec import Meta, Struct, field

from modelmux.catalog import Catalog, PriceList, builtin, builtin_prices
from modelmux.config.admin_schema import AdminConfig
from modelmux.config.annotations import Env, doc
from modelmux.config.capture_schema import CaptureConfig
from modelmux.config.catalog_overrides import add_cards
from modelmux.config.check import convert
from modelmux.config.deprecated_names import rewrite
from modelmux.config.metrics_schema import MetricsConfig
from modelmux.config.paths import copy_tree
from modelmux.config.price_overrides import AccountsConfig, all_prices
from modelmux.config.responses_schema import ResponsesConfig, ThinkingConfig
from modelmux.config.server_schema import LogsConfig, ServerConfig
from modelmux.config.streaming_schema import StreamingConfig
from modelmux.config.telemetry_schema import TelemetryConfig
from modelmux.config.tls_schema import TlsConfig
from modelmux.config.traces_schema import TracesConfig
from modelmux.config.values import Bytes, Seconds, Secret

_URL = (
    "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/publishers/anthropic/models/"
    "claude-sonnet-4-6"
)

#: For durations that make no sense as zero.
_POSITIVE = Meta(gt=0)


def _shared(name: str) -> Env:
    return Env(name, shared=True)


class AuthConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Google credentials. The first that is set wins: access_token, service_account_json, service_account_file. If none
    is set, Application Default Credentials are used."""

    access_token: Annotated[
        Secret | None, doc("A Google access token. It expires after an hour; for experiments.", example="ya29.…")
    ] = None
    service_account_json: Annotated[
        Secret | None,
        doc(
            "A credential file's content, as JSON text.",
            Env("GCP_SERVICE_ACCOUNT_KEY", deprecated=True, base64=True),
            example='{"type": "service_account", …}',
        ),
    ] = None
    service_account_file: Annotated[
        str | None,
        doc(
            "Path of a credential file of any Google type; ~ is the home directory.",
            _shared("GOOGLE_APPLICATION_CREDENTIALS"),
            example="~/key.json",
        ),
    ] = None


class VertexDeployment(Struct, forbid_unknown_fields=True, kw_only=True):
    """One deployment of a model. Unset values are taken from the model's entry, then from ``[vertex]``."""

    model: Annotated[str | None, doc("Vertex AI model id of this deployment.", example="claude-sonnet-4-6")] = None
    project: Annotated[str | None, doc("Google Cloud project.", example="my-project")] = None
    location: Annotated[str | None, doc("global, us, eu or a region.", example="global")] = None
    url: Annotated[str | None, doc("Complete resource URL; overrides project and location.", example=_URL)] = None
    max_in_flight: Annotated[
        int | None,
        doc("Maximum concurrent requests; further ones wait or use another deployment.", example=100),
        Meta(ge=1),
    ] = None
    weight: Annotated[int, doc("Share of the requests among deployments of the same order."), Meta(ge=0, le=1000)] = 1
    order: Annotated[
        int, doc("Deployments of the lowest order are used first, the others when those fail."), Meta(ge=0, le=1000)
    ] = 0


class ModelTimeouts(Struct, forbid_unknown_fields=True, kw_only=True):
    """Timeouts of one model. Unset values are taken from ``[timeouts]``."""

    connect: Annotated[Seconds | None, doc("As timeouts.connect.", example=Seconds(5)), _POSITIVE] = None
    send: Annotated[Seconds | None, doc("As timeouts.send.", example=Seconds(60)), _POSITIVE] = None
    first_byte: Annotated[Seconds | None, doc("As timeouts.first_byte.", example=Seconds(600)), _POSITIVE] = None
    first_token: Annotated[Seconds | None, doc("As timeouts.first_token.", example=Seconds(20))] = None
    idle: Annotated[Seconds | None, doc("As timeouts.idle.", example=Seconds(300)), _POSITIVE] = None
    total: Annotated[Seconds | None, doc("As timeouts.total.", example=Seconds(900)), _POSITIVE] = None


class VertexModel(Struct, forbid_unknown_fields=True, kw_only=True):
    """A model served under a name of your choice. Unset values are taken from ``[vertex]``."""

    name: Annotated[str, doc("The name that clients request, in any case.", example="fast")]
    model: Annotated[str | None, doc("Vertex AI model id; the name if not set.", example="claude-sonnet-4-6")] = None
    aliases: Annotated[list[str], doc("Further names of the same model.")] = []
    project: Annotated[str | None, doc("Google Cloud project.", example="my-project")] = None
    region: Annotated[
        str | None, doc("Same as location; if both are set, region selects the host.", example="global")
    ] = None
    location: Annotated[str | None, doc("global, us, eu or a region.", example="global")] = None
    locations: Annotated[list[str], doc("Several locations, tried in this order.")] = []
    publisher: Annotated[str | None, doc("Publisher of the model.", example="anthropic")] = None
    url: Annotated[
        str | None,
        doc("Complete resource URL, with or without the verb; overrides project and location.", example=_URL),
    ] = None
    deployments: Annotated[
        list[VertexDeployment], doc("Several deployments, with weights and an order, of one model or of several.")
    ] = []
    fallbacks: Annotated[
        list[str], doc("Names of other models, tried in this order after all deployments of this one have failed.")
    ] = []
    max_in_flight: Annotated[
        int | None, doc("Maximum concurrent requests of each of its deployments.", example=100), Meta(ge=1)
    ] = None
    timeouts: Annotated[ModelTimeouts | None, doc("Timeouts of this model; unset ones are taken from [timeouts].")] = (
        None
    )
    geography: Annotated[
        str | None, doc("us, eu or a prefix of region names; every call of this model stays inside.", example="eu")
    ] = None
    forced_tool_choice: Annotated[
        Literal["error", "downgrade"] | None,
        doc("As vertex.forced_tool_choice, for this model.", example="error"),
    ] = None
    prefill: Annotated[
        Literal["error", "continue"] | None, doc("As vertex.prefill, for this model.", example="continue")
    ] = None
    prompt_caching: Annotated[bool | None, doc("As vertex.prompt_caching, for this model.", example=False)] = None


class VertexConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Vertex AI: project, location and models."""

    project: Annotated[
        str | None,
        doc("Google Cloud project.", "MODELMUX_PROJECT", "VERTEX_PROJECT", _shared("ANTHROPIC_VERTEX_PROJECT_ID"),
              _shared("GOOGLE_CLOUD_PROJECT"), _shared("VERTEXAI_PROJECT"), example="my-project"),
    ] = None  # fmt: skip
    region: Annotated[
        str | None,
        doc("Same as location; if both are set, region selects the host.", "VERTEX_REGION", example="global"),
    ] = None
    location: Annotated[
        str | None,
        doc("global, us, eu or a region.", "MODELMUX_LOCATION", "VERTEX_LOCATION", _shared("CLOUD_ML_REGION"),
              _shared("GOOGLE_CLOUD_LOCATION"), _shared("VERTEXAI_LOCATION"), example="global"),
    ] = None  # fmt: skip
    publisher: Annotated[str, doc("Publisher of the models.", "VERTEX_PUBLISHER")] = "anthropic"
    model: Annotated[
        str | None,
        doc("The default model, listed first, under its undated name.", "VERTEX_MODEL_ID", example="claude-sonnet-4-6"),
    ] = None
    display_name: Annotated[
        str | None, doc("The name of the default model.", "LLM_MODEL_DISPLAY_NAME", "LLM_MODEL", example="sonnet")
    ] = None
    url: Annotated[
        str | None,
        doc(
            "Complete resource URL of the default model, with or without the verb; overrides project and location.",
            "LLM_URL",
            example=_URL,
        ),
    ] = None
    base_url: Annotated[
        str | None,
        doc("Replaces scheme and host of Google's endpoint, for a private endpoint or the emulator.",
              _shared("ANTHROPIC_VERTEX_BASE_URL"), example="https://vertex.example.com"),
    ] = None  # fmt: skip
    geography: Annotated[
        str | None, doc("us, eu or a prefix of region names; every call of every model stays inside.", example="eu")
    ] = None
    default_for_unknown_models: Annotated[
        bool, doc("Serve requests for unknown model names with the default model.")
    ] = False
    forced_tool_choice: Annotated[
        Literal["error", "downgrade"],
        doc("When a model cannot be forced to call a tool: use tool_choice auto (downgrade), or reject (error)."),
    ] = "downgrade"
    prefill: Annotated[
        Literal["error", "continue"],
        doc("When a model does not support prefill: reject (error), or ask it to continue (continue)."),
    ] = "error"
    prompt_caching: Annotated[
        bool, doc("Add prompt-cache breakpoints where the client sets none and caching saves money.")
    ] = True
    strict_location: Annotated[
        bool,
        doc("Reject requests whose URL names a location outside the geography; if false, the location is ignored."),
    ] = False
    models: Annotated[list[VertexModel], doc("Models served under names of your choice.")] = []


class MessagesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Requests of Anthropic's Messages API, which reach Vertex AI in the client's own bytes."""

    unknown_betas: Annotated[
        Literal["forward", "drop"],
        doc("What becomes of anthropic-beta values that this version does not know: forward them, or drop them."),
    ] = "forward"
    web_search: Annotated[
        Literal["error", "downgrade"],
        doc("When a web search tool needs a later version than Google Cloud has: reject (error), or use its version."),
    ] = "error"
    reply_model: Annotated[
        Literal["upstream", "requested"],
        doc("The model name in responses: the upstream's, or the one that the client requested."),
    ] = "upstream"
    count_tokens_estimates: Annotated[
        bool,
        doc("Estimate token counts that Vertex AI cannot give (x-modelmux-estimate: true); if false, answer 501."),
    ] = True


class AliasConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """A further name of a served model, and optionally the model that takes the name over on a given day."""

    model: Annotated[str, doc("The served name or Claude model it stands for.", example="claude-sonnet-4-6")]
    successor: Annotated[
        str | None, doc("What it stands for from the day in `from` on.", example="claude-sonnet-5")
    ] = None
    from_: Annotated[dt.date | None, doc("The first day of the successor.")] = field(default=None, name="from")


class TimeoutsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """How long each stage of a request may take. A client may lower the total with the header ``x-modelmux-timeout``
    (seconds)."""

    connect: Annotated[Seconds, doc("To connect: DNS, TCP, proxy and TLS together."), _POSITIVE] = Seconds(5)
    send: Annotated[Seconds, doc("To send the request."), _POSITIVE] = Seconds(60)
    first_byte: Annotated[Seconds, doc("From the request sent to the first byte of the reply."), _POSITIVE] = Seconds(
        600
    )
    first_token: Annotated[
        Seconds,
        doc("From the start of an attempt to the first content of a stream; then another attempt starts. 0: no limit."),
    ] = Seconds(0)
    idle: Annotated[Seconds, doc("Between two reads of a reply, pings included."), _POSITIVE] = Seconds(300)
    total: Annotated[Seconds, doc("From the arrival of a request to the end of its response."), _POSITIVE] = Seconds(
        3600
    )


class RetriesConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Retries of failed attempts."""

    max: Annotated[int, doc("Attempts after the first; 0 turns retries off."), Meta(ge=0, le=100)] = 3


class LimitsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Concurrency limits, which apply to the gateway as a whole: each worker gets its share. And where several nodes
    share the rate limits of their virtual keys."""

    max_concurrent_requests: Annotated[int, doc("Maximum requests in flight; further ones are queued."), Meta(ge=1)] = (
        4096
    )
    max_queued_requests: Annotated[int, doc("Maximum queued requests; further ones get a 503."), Meta(ge=0)] = 512
    queue_timeout: Annotated[
        Seconds, doc("How long a request waits in the queue, or for a connection, before it gets a 503.")
    ] = Seconds(5)
    wait: Annotated[
        Seconds,
        doc("How long a request above a rate limit of accounts waits for room before it gets a 429; 0 for not at all."),
    ] = Seconds(0)
    body_memory: Annotated[
        Bytes | None,
        doc(
            "Maximum bytes of request bodies in memory; further ones get a 503. If not set: at most 512 MiB.",
            example=Bytes(1024 * 2**20),
        ),
    ] = None
    redis: Annotated[
        Secret | None,
        doc(
            "Redis or Valkey server by which nodes share the rate limits of accounts; rediss:// is over TLS.",
            example="redis://:PASSWORD@redis.example.com:6379/0",
        ),
    ] = None


class FetchConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Downloads of the images and documents that requests reference by URL, because Vertex AI accepts no URLs."""

    enabled: Annotated[bool, doc("Download them; if false, requests that reference URLs are rejected.")] = True
    allow: Annotated[list[str], doc("Host names to allow; *.example.com includes subdomains. Empty: all.")] = []
    deny: Annotated[list[str], doc("Host names to refuse, in the same notation.")] = []
    allow_private: Annotated[
        list[str], doc("Networks, such as 10.1.0.0/16, that may be reached although they are private.")
    ] = []
    extra_ports: Annotated[list[int], doc("Ports that may be reached in addition to 80 and 443.")] = []
    timeout: Annotated[Seconds, doc("Timeout of one download, redirects included.")] = Seconds(15)
    max_bytes: Annotated[Bytes, doc("Maximum size of one download.")] = Bytes(20 * 2**20)


class Config(Struct, forbid_unknown_fields=True, kw_only=True):
    """All settings of a gateway."""

    provider: Annotated[Literal["vertex"], doc("The upstream that serves the models.", "LLM_PROVIDER")] = "vertex"
    server: ServerConfig = field(default_factory=ServerConfig)
    logs: LogsConfig = field(default_factory=LogsConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    vertex: VertexConfig = field(default_factory=VertexConfig)
    messages: MessagesConfig = field(default_factory=MessagesConfig)
    responses: ResponsesConfig = field(default_factory=ResponsesConfig)
    thinking: ThinkingConfig = field(default_factory=ThinkingConfig)
    streaming: StreamingConfig = field(default_factory=StreamingConfig)
    timeouts: TimeoutsConfig = field(default_factory=TimeoutsConfig)
    retries: RetriesConfig = field(default_factory=RetriesConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    fetch: FetchConfig = field(default_factory=FetchConfig)
    tls: TlsConfig = field(default_factory=TlsConfig)
    accounts: AccountsConfig = field(default_factory=AccountsConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    traces: TracesConfig = field(default_factory=TracesConfig)
    capture: CaptureConfig = field(default_factory=CaptureConfig)
    aliases: Annotated[
        dict[str, str | AliasConfig],
        doc(
            'Further names of models: gpt-4o = "claude-sonnet-5", or a table with a successor.',
            example={"gpt-4o": "claude-sonnet-4-6"},
        ),
    ] = {}
    catalog: Annotated[
        list[dict[str, Any]],
        doc(
            "Cards that add models to the catalog, or replace fields of its cards, by id.",
            example={"id": "claude-sonnet-4-6", "max_output": 64000},
        ),
    ] = []

    @classmethod
    def from_dict(cls, settings: dict[str, Any]) -> Self:
        """Settings as in a TOML file, already parsed. Old names work, with a ``DeprecationWarning``.

        :raises ConfigError: naming every unknown key and every value that does not fit.
        """
        tree = copy_tree(settings)
        done = rewrite(tree)
        for use in done.uses:
            warnings.warn(use.message(), DeprecationWarning, stacklevel=2)
        return convert(tree, cls, done.problems)

    def __repr__(self) -> str:  # the values hold keys and project ids
        return "Config(…)"

    def build_catalog(self) -> Catalog:
        """The model catalog with this configuration's cards.

        :raises ConfigError: naming every card that cannot be used.
        """
        return add_cards(builtin(), self.catalog)

    def build_prices(self) -> PriceList:
        """The prices with this configuration's own.

        :raises ConfigError: naming every price, and a model to take prices from, that cannot be used.
        """
        return all_prices(builtin_prices(), self.accounts, self.build_catalog())
