"""``modelmux serve``: run the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modelmux.app import check_exposure, create_app
from modelmux.cli.configured import adopt_dotenv, config_options, read_config
from modelmux.cli.output import fail_config
from modelmux.cli.serving import gateway_config, listen, run
from modelmux.config import Config, ConfigError
from modelmux.telemetry import names
from modelmux.telemetry.logs import make_log


@click.command()
@config_options
@click.option("--host", help="Address to listen on, instead of server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, instead of server.port.")
@click.option("--log-level", help="Instead of server.log_level.")
def serve(
    config_path: Path | None, overrides: dict[str, Any], host: str | None, port: int | None, log_level: str | None
) -> None:
    """Run the gateway."""
    named = {"server.host": host, "server.port": port, "server.log_level": log_level}
    loaded = read_config(config_path, overrides | {key: value for key, value in named.items() if value is not None})
    adopt_dotenv()
    config = loaded.config
    try:
        check_exposure(config)
        log = make_log(config.server.log_level, config.server.log_format)
        app = create_app(config, log=log)
    except ConfigError as error:
        fail_config(error)
    for warning in loaded.warnings:
        log.warning(names.EVENT_CONFIG, message=warning)
    sock = listen(config.server.host, config.server.port)
    log.info(names.EVENT_SERVING, url=_url(config, sock.getsockname()[1]))
    run(gateway_config(app, drain_seconds=round(config.server.drain_timeout)), sock)


def _url(config: Config, port: int) -> str:
    host = config.server.host
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
