"""``modelmux chat``: one message, or a conversation, with a model behind the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import click

from modelmux.cli.chat.conversation import ChatError, Conversation, ReplyInfo
from modelmux.cli.chat.direct import direct_gateway
from modelmux.cli.connect.client_key import STALE, choose_key
from modelmux.cli.connect.gateway_url import BadUrl, parse_url
from modelmux.cli.connect.render import KEY_VARIABLE
from modelmux.cli.exit import INTERRUPTED, USAGE
from modelmux.cli.options import config_options, load_dotenv_into_environment, read_config
from modelmux.cli.outgoing import ca_file_if_any, open_pool
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_lines, warn
from modelmux.cli.sanitize import one_line, strip_controls
from modelmux.config import Config, ConfigError
from modelmux.process.listen import ListenError
from modelmux.upstream.pool import HttpPool

_HELP = """\
/model NAME  switch to another model
/models      list the models
/clear       forget the conversation so far
/exit        end, like Ctrl-D"""


@click.command()
@click.argument("message", required=False)
@click.option("-m", "--model", help="Model to talk to; by default the first one listed.")
@click.option("-s", "--system", help="Instructions for the model.")
@click.option("--direct", is_flag=True, help="Start a gateway in this process instead of using a running one.")
@click.option("--url", help="URL of a gateway, instead of the configured host and port.")
@click.option("--api-key", help=f"Key for the gateway; by default ${KEY_VARIABLE}, then the configured one.")
@click.option("-v", "--verbose", is_flag=True, help="Also print token usage and notices.")
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
    """Send MESSAGE, or standard input if it is piped; without either, start a conversation."""
    if direct and url:
        exit_with_error(
            ["--direct and --url exclude each other"], "--direct calls Vertex AI without a running gateway.", code=USAGE
        )
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    if message is not None and not message.strip():
        exit_with_error(["the message is empty"], 'Pass a message: modelmux chat "Hello!"', code=USAGE)
    address = _address(url) if url else None
    config = None if url else read_config(config_path, overrides).config
    ca_file = config.tls.ca_file if config else ca_file_if_any(config_path, overrides)
    load_dotenv_into_environment()
    key = None if direct else _key(api_key, config)
    with asyncio.Runner() as runner, contextlib.ExitStack() as stack:
        if direct:
            address, key = _start_gateway(config or Config(), stack)
        pool = stack.enter_context(_pool(runner, None if direct else ca_file, proxies=not direct))
        try:
            conversation = Conversation(pool, address or _url_of(config or Config()), system=system, key=key)
            conversation.model = model or runner.run(_first_model(conversation))
        except ValueError as error:
            exit_with_error([str(error)], "The URL of a gateway looks like http://127.0.0.1:3000.")
        except ChatError as error:
            exit_with_error([one_line(error.message)], error.hint)
        if message is None:
            _talk(runner, conversation, "directly" if direct else f"at {conversation.url}", verbose)
            return
        try:
            _send(runner, conversation, message, verbose)
        except ChatError as error:
            exit_with_error([one_line(error.message)], error.hint)


def _address(url: str) -> str:
    try:
        return parse_url(url).root
    except BadUrl as error:
        exit_with_error([error.problem], error.hint)


def _key(option: str | None, config: Config | None) -> str | None:
    """:param config: None for a gateway that is named by its URL."""
    variable = os.environ.get(KEY_VARIABLE)
    chosen = choose_key(option, variable, config, is_here=config is not None, exported=bool(variable))
    if chosen.is_stale:
        warn([f"{STALE}, so the first of them is used: unset it, or set it to one of them"])
    key = chosen.accepted if chosen.is_stale else chosen.key
    return key.reveal() if key is not None else None


def _start_gateway(config: Config, stack: contextlib.ExitStack) -> tuple[str, str]:
    """URL and key of a gateway that ends with ``stack``."""
    try:
        return stack.enter_context(direct_gateway(config))
    except ConfigError as error:
        exit_with_config_error(error)
    except ListenError as error:
        exit_with_error([error.problem], error.hint)


@contextlib.contextmanager
def _pool(runner: asyncio.Runner, ca_file: str | None, *, proxies: bool) -> Iterator[HttpPool]:
    pool = open_pool(ca_file, proxies=proxies)
    try:
        yield pool
    finally:
        runner.run(pool.aclose())


def _url_of(config: Config) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.server.host, config.server.host)  # noqa: S104 - replaced
    return f"http://[{host}]:{config.server.port}" if ":" in host else f"http://{host}:{config.server.port}"


async def _first_model(conversation: Conversation) -> str:
    models = await conversation.models()
    if not models:
        raise ChatError(f"{conversation.url} lists no models", "Pass one with --model.")
    return models[0]


def _talk(runner: asyncio.Runner, conversation: Conversation, where: str, verbose: bool) -> None:
    """Turns until Ctrl-D, or Ctrl-C twice."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - line editing and history, where available
    click.echo(f"{conversation.model} {where}. /help lists commands; Ctrl-C stops an answer, Ctrl-D ends.")
    interrupted = False
    while True:
        try:
            line = input("> ").strip()
            interrupted = False
            if line.startswith("/") and _run_command(runner, conversation, line):
                continue
            if line:
                _send(runner, conversation, line, verbose)
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            if interrupted:
                click.echo()
                raise SystemExit(INTERRUPTED) from None
            interrupted = True
            click.echo("\n(stopped; Ctrl-C again or Ctrl-D ends)")
        except ChatError as error:
            print_lines("error", [one_line(error.message)], "red")
            if error.hint:
                print_lines("hint", [error.hint], "cyan")


def _run_command(runner: asyncio.Runner, conversation: Conversation, line: str) -> bool:
    """Run a line that starts with a slash. False if it is not a command but a message.

    :raises EOFError: the conversation is to end.
    """
    name, _, argument = line.partition(" ")
    if name in ("/exit", "/quit"):
        raise EOFError
    if name == "/help":
        click.echo(_HELP)
    elif name == "/clear":
        conversation.history.clear()
    elif name == "/models":
        click.echo("\n".join(runner.run(conversation.models())))
    elif name == "/model" and argument.strip():
        conversation.model = argument.strip()
    elif name == "/model":
        click.echo(conversation.model)
    else:
        return False
    return True


def _send(runner: asyncio.Runner, conversation: Conversation, message: str, verbose: bool) -> None:
    """Send a message, and print the answer as it arrives.

    :raises ChatError:
    :raises KeyboardInterrupt: the answer was stopped, here and at the model.
    """
    started = time.monotonic()
    screen = _Screen()
    try:
        info = runner.run(conversation.send(message, screen.show))
    finally:
        screen.end()
    if info.finish_reason == "length":
        print_lines("note", ["the answer was cut off at the model's output limit"], "cyan")
    if verbose:
        _print_usage(info, time.monotonic() - started)


class _Screen:
    """Where an answer is printed: reasoning and text on a terminal, the text alone into a pipe."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._last: str | None = None

    def show(self, kind: Literal["text", "reasoning"], piece: str) -> None:
        if not self._terminal and kind == "reasoning":
            return
        if self._last == "reasoning" and kind == "text":
            click.echo("\n")
        self._last = kind
        text = strip_controls(piece) if self._terminal else piece
        click.echo(click.style(text, dim=True) if kind == "reasoning" else text, nl=False)

    def end(self) -> None:
        if self._last is not None:
            click.echo()


def _print_usage(info: ReplyInfo, seconds: float) -> None:
    usage = info.usage
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    facts = [f"{usage.get('prompt_tokens', 0)} tokens in" + (f" ({cached} cached)" if cached else "")]
    facts += [f"{usage.get('completion_tokens', 0)} out", f"{seconds:.1f} s"]
    facts += [info.headers[name] for name in ("x-modelmux-deployment",) if name in info.headers]
    print_lines("usage", [", ".join(facts)], "bright_black")
    if "x-modelmux-notices" in info.headers:
        print_lines("note", [info.headers["x-modelmux-notices"]], "cyan")
