"""``modelmux chat``: one question, or a conversation, with a model behind the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import click

from modelmux.app import create_app
from modelmux.cli.chat.conversation import Answered, ChatError, Conversation
from modelmux.cli.exit import INTERRUPTED, USAGE
from modelmux.cli.in_process import AsgiUpstream
from modelmux.cli.options import adopt_dotenv, config_options, read_config
from modelmux.cli.output import fail, fail_config, say
from modelmux.cli.sanitize import plain, prose
from modelmux.config import Config, ConfigError
from modelmux.upstream.base import Upstream
from modelmux.upstream.pool import HttpPool
from modelmux.upstream.proxy import Proxies

_DIRECT_URL: Final = "http://in-process"
_HELP: Final = "/model NAME  another model\n/models      what there is\n/clear       forget what was said\n/exit        end, as Ctrl-D"  # fmt: skip  # noqa: E501


@click.command()
@click.argument("message", required=False)
@click.option("-m", "--model", help="Model to ask; the first one listed if not given.")
@click.option("-s", "--system", help="Instructions for the model.")
@click.option("--direct", is_flag=True, help="Without a server: the gateway runs in this process.")
@click.option("--url", help="A gateway's URL, instead of the configured host and port.")
@click.option("--api-key", help="A key of the gateway; that of the configuration if it is the configured gateway.")
@click.option("-v", "--verbose", is_flag=True, help="Also say what an answer cost, and notices.")
@config_options
def chat(
    message: str | None,
    model: str | None,
    system: str | None,
    direct: bool,
    url: str | None,
    api_key: str | None,
    verbose: bool,
    config_path: Path | None,
    overrides: dict[str, Any],
) -> None:
    """Ask MESSAGE, or what comes through a pipe, or talk in turns if there is neither."""
    if direct and url:
        fail(
            ["--direct and --url do not go together"], "--direct asks Vertex AI itself, without a gateway.", code=USAGE
        )
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    if message is not None and not message.strip():
        fail(["there is nothing to ask"], 'Give a message: modelmux chat "Hello!"', code=USAGE)
    config = None if url else read_config(config_path, overrides).config
    adopt_dotenv()
    key = api_key or (config.server.api_keys[0].reveal() if config and config.server.api_keys else None)
    with asyncio.Runner() as runner, _gateway(config if direct else None, runner) as upstream:
        where = _DIRECT_URL if direct else url or _url_of(config or Config())
        try:
            conversation = Conversation(upstream, where, system=system, key=key)
            conversation.model = model or runner.run(_first_model(conversation))
        except ValueError as error:
            fail([str(error)], "A gateway's URL looks like http://127.0.0.1:3000.")
        except ChatError as error:
            fail([plain(error.message)], error.hint)
        if message is not None:
            try:
                _answer(runner, conversation, message, verbose)
            except ChatError as error:
                fail([plain(error.message)], error.hint)
        else:
            _talk(runner, conversation, verbose)


@contextlib.contextmanager
def _gateway(direct: Config | None, runner: asyncio.Runner) -> Iterator[Upstream]:
    """The way to the gateway, closed at the end."""
    upstream: Upstream
    try:
        app = create_app(direct) if direct is not None else None
        upstream = AsgiUpstream(app) if app is not None else HttpPool(proxies=Proxies.from_environment(os.environ))
    except ConfigError as error:
        fail_config(error)
    except ValueError as error:
        fail([str(error)], "Use http://host:port, or leave the variable unset.")
    try:
        yield upstream
    finally:
        runner.run(upstream.aclose())
        if app is not None:
            runner.run(app.aclose())


def _url_of(config: Config) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)  # noqa: S104 - replaced
    return f"http://[{host}]:{config.server.port}" if ":" in host else f"http://{host}:{config.server.port}"


async def _first_model(conversation: Conversation) -> str:
    models = await conversation.models()
    if not models:
        raise ChatError(f"{conversation.url} serves no model", "Name one with --model.")
    return models[0]


def _talk(runner: asyncio.Runner, conversation: Conversation, verbose: bool) -> None:
    """Turns until Ctrl-D, or Ctrl-C twice."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - editing of the line and of earlier ones, where there is it
    where = "directly" if conversation.url == _DIRECT_URL else f"at {conversation.url}"
    click.echo(f"{conversation.model} {where}. /help lists commands; Ctrl-C stops an answer, Ctrl-D ends.")
    pressed = False
    while True:
        try:
            line = input("> ").strip()
            pressed = False
            if line.startswith("/") and _command(runner, conversation, line):
                continue
            if line:
                _answer(runner, conversation, line, verbose)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            if pressed:
                click.echo()
                raise SystemExit(INTERRUPTED) from None
            pressed = True
            click.echo("\n(stopped; Ctrl-C again or Ctrl-D ends)")
        except ChatError as error:
            say("error", [plain(error.message)], "red")
            if error.hint:
                say("hint", [error.hint], "cyan")


def _command(runner: asyncio.Runner, conversation: Conversation, line: str) -> bool:
    """Do what a line with a slash asks for. False if it is no command but something to say.

    :raises EOFError: to end.
    """
    name, _, rest = line.partition(" ")
    if name in ("/exit", "/quit"):
        raise EOFError
    if name == "/help":
        click.echo(_HELP)
    elif name == "/clear":
        conversation.history.clear()
    elif name == "/models":
        click.echo("\n".join(runner.run(conversation.models())))
    elif name == "/model" and rest.strip():
        conversation.model = rest.strip()
    elif name == "/model":
        click.echo(conversation.model)
    else:
        return False
    return True


def _answer(runner: asyncio.Runner, conversation: Conversation, message: str, verbose: bool) -> None:
    """Ask, and show the answer as it comes.

    :raises ChatError:
    :raises KeyboardInterrupt: the answer was stopped, and so was the model.
    """
    began = time.monotonic()
    screen = _Screen()
    try:
        answered = runner.run(conversation.ask(message, screen.show))
    finally:
        screen.end()
    if answered.finish_reason == "length":
        say("note", ["the answer was cut at the model's limit"], "cyan")
    if verbose:
        _tell(answered, time.monotonic() - began)


class _Screen:
    """Where an answer goes: all of it on a terminal, the text alone into a pipe."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last: str | None = None

    def show(self, kind: Literal["text", "reasoning"], piece: str) -> None:
        if not self._terminal and kind == "reasoning":
            return
        if self._last == "reasoning" and kind == "text":
            click.echo("\n")
        self._last = kind
        shown = prose(piece) if self._terminal else piece
        click.echo(click.style(shown, dim=True) if kind == "reasoning" else shown, nl=False)

    def end(self) -> None:
        if self._last is not None:
            click.echo()


def _tell(answered: Answered, seconds: float) -> None:
    usage = answered.usage
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    told = [f"{usage.get('prompt_tokens', 0)} tokens in" + (f" ({cached} cached)" if cached else "")]
    told += [f"{usage.get('completion_tokens', 0)} out", f"{seconds:.1f} s"]
    told += [answered.headers[name] for name in ("x-modelmux-deployment",) if name in answered.headers]
    say("usage", [", ".join(told)], "bright_black")
    if "x-modelmux-notices" in answered.headers:
        say("note", [answered.headers["x-modelmux-notices"]], "cyan")
