"""The settings of the server and its logs, a part of the table in ``schema.py``."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from modelmux.config.annotations import Env, doc
from modelmux.config.values import Bytes, Seconds, Secret

LogLevel = Literal["trace", "debug", "info", "warn", "error"]


class ServerConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """The listener, authentication, and how the process behaves."""

    host: Annotated[str, doc("Address to listen on; any other than loopback needs api_keys or accounts.")] = "127.0.0.1"
    port: Annotated[
        int,
        doc("Port to listen on; 0 picks a free one.", Env("PORT", deprecated=True)),
        Meta(ge=0, le=65535),
    ] = 3000
    reuse_port: Annotated[
        bool, doc("Share the port with another gateway that has this setting too, so that one can replace the other.")
    ] = False
    log_level: Annotated[LogLevel, doc("Minimum level of the log lines to write.")] = "info"
    log_format: Annotated[
        Literal["console", "json"], doc("Format of log lines on the console: columns for people, or JSON objects.")
    ] = "console"
    api_keys: Annotated[
        list[Secret],
        doc("Keys that clients send as Authorization: Bearer or x-api-key.", "MODELMUX_API_KEYS",
              "MODELMUX_MASTER_KEY"),
    ] = []  # fmt: skip
    allow_unauthenticated: Annotated[
        bool, doc("Allow a public address without api_keys, because a proxy in front authenticates clients.")
    ] = False
    keyless_vertex_paths: Annotated[
        bool, doc("Serve Vertex AI's own paths (…:rawPredict), with all models, also to clients that send no key.")
    ] = False
    allowed_hosts: Annotated[
        list[str],
        doc("Names besides those of loopback under which a gateway without api_keys is served, such as gateway.lan."),
    ] = []
    cors_origins: Annotated[
        list[str], doc('Origins of web pages that may call the gateway (CORS), such as "https://chat.example.com".')
    ] = []
    strict: Annotated[bool, doc("Reject a request instead of changing or ignoring any part of it.")] = False
    max_body_bytes: Annotated[
        Bytes, doc("Maximum size of a request body. Vertex AI accepts no more than the default.")
    ] = Bytes(30 * 2**20)
    drain_delay: Annotated[
        Seconds,
        doc("How long a stopping gateway keeps serving while /readyz answers 503, for load balancers to notice."),
    ] = Seconds(0)
    drain_timeout: Annotated[
        Seconds, doc("How long requests in flight may take to finish after the gateway stopped accepting new ones.")
    ] = Seconds(30)
    seal_keys: Annotated[
        list[Secret],
        doc(
            "Keys of 64 or 128 hexadecimal digits that seal what clients keep for the gateway; the newest is the first."
        ),
    ] = []
    state_dir: Annotated[
        str | None,
        doc(
            "Directory of the seal key, stored responses and accounts; the platform's standard directory if not set.",
            example="/var/lib/modelmux",
        ),
    ] = None
    workers: Annotated[int, doc("Number of worker processes; each uses one CPU core."), Meta(ge=1, le=64)] = 1


class LogsConfig(Struct, forbid_unknown_fields=True, kw_only=True):
    """Daily log files of JSON objects, in addition to the log lines on the console."""

    file: Annotated[bool, doc("Whether to write log files.")] = True
    directory: Annotated[
        str | None,
        doc(
            "Directory of the log files; the platform's standard directory if not set.",
            "MODELMUX_LOG_DIR",
            example="/var/log/modelmux",
        ),
    ] = None
    retention_days: Annotated[int, doc("How many daily files to keep."), Meta(ge=1, le=3650)] = 30
