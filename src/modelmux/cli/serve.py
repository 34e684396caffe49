"""``modelmux serve``: run the gateway."""

from __future__ import annotations

from pathlib import Path

import click

from modelmux.app import check_exposure, create_app
from modelmux.cli.output import fail, fail_config
from modelmux.cli.serving import gateway_config, listen, run
from modelmux.config import Config, ConfigError, load
from modelmux.telemetry import names
from modelmux.telemetry.logs import make_log

#: Where a configuration is looked for when none is named.
_PLACES = ("~/.config/modelmux/config.toml", "/etc/modelmux/config.toml")


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="TOML file with the settings.")
@click.option("--host", help="Address to listen on, instead of server.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, instead of server.port.")
def serve(path: Path | None, host: str | None, port: int | None) -> None:
    """Run the gateway."""
    try:
        config = load(path or _default_path())
        config.server.host = host or config.server.host
        config.server.port = config.server.port if port is None else port
        check_exposure(config)
        log = make_log(config.server.log_level, config.server.log_format)
        app = create_app(config, log=log)
    except ConfigError as error:
        fail_config(error)
    sock = listen(config.server.host, config.server.port)
    log.info(names.EVENT_SERVING, url=_url(config, sock.getsockname()[1]))
    run(gateway_config(app), sock)


def _default_path() -> Path:
    for place in _PLACES:
        found = Path(place).expanduser()
        if found.is_file():
            return found
    fail(
        ["no configuration file was found"],
        f"Write one to {_PLACES[0]} or name it with --config FILE. `modelmux demo` runs without any.",
    )


def _url(config: Config, port: int) -> str:
    host = config.server.host
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
