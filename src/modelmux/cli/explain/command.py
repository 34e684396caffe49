"""``modelmux explain``: the command and its options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from modelmux.claude.limits import LONG_REPLY_TOKENS
from modelmux.claude.prepare import PreparedRequest
from modelmux.cli.exit import USAGE
from modelmux.cli.explain.dialect import DIALECTS, SHORT_NAMES, guess_dialect, holds_object
from modelmux.cli.explain.messages import show_native
from modelmux.cli.explain.translated import compare, show
from modelmux.cli.options import config_options, read_config
from modelmux.cli.output import exit_with_config_error, exit_with_error, print_lines, warn
from modelmux.config import Config, ConfigError, build_routes
from modelmux.config.model_rows import is_configured
from modelmux.errors import GatewayError
from modelmux.gateway.explained.native import explain_native
from modelmux.gateway.explained.translated import Translated, dialect_options, translate
from modelmux.runtime import Runtime

_STDIN = Path("-")
_DIALECT_HELP = f"API of the request: {', '.join(SHORT_NAMES)}, or its full name. By default, guessed from its fields."
_NOT_AN_OBJECT = "Pass the JSON body of a request, as the client sends it: an object."
_STRICT_HELP = "Reject a request that would be changed. Default: server.strict."
_TURN2_HELP = "The next request of the same conversation; checks that the first prompt is a prefix of it."


@click.command()
@click.argument("request", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--model", help="Use this model instead of the one in the request, which needs none then.")
@click.option("--turn2", type=click.Path(path_type=Path), help=_TURN2_HELP)
@config_options
@click.option("--strict/--no-strict", "strict", default=None, help=_STRICT_HELP)
@click.option("--dialect", type=click.Choice([*DIALECTS, *SHORT_NAMES]), metavar="NAME", help=_DIALECT_HELP)
@click.option("--beta", "betas", multiple=True, metavar="VALUE", help="Value of the header anthropic-beta; repeatable.")
def explain(
    request: Path, model: str | None, turn2: Path | None, config_path: Path | None, overrides: dict[str, Any],
    strict: bool | None, dialect: str | None, betas: tuple[str, ...],
) -> None:  # fmt: skip
    """Print the URLs, the exact body and all notices for the request in the file REQUEST, or in stdin for `-`.

    A name that is served by several models has a body for each, where they differ. If nothing is configured, the
    project is PROJECT and the location global. It exits with 1 if the request would be refused.
    """
    if request == turn2 == _STDIN:
        exit_with_error(["stdin cannot be both requests"], "Pass a file for one of the two.", code=USAGE)
    config = _config(config_path, overrides)
    try:
        routes = build_routes(config, config.build_catalog(), Runtime().today())
    except ConfigError as error:
        exit_with_config_error(error)
    strict = config.server.strict if strict is None else strict
    body = _read(request)
    is_object = holds_object(body)
    name = SHORT_NAMES.get(dialect, dialect) if dialect else guess_dialect(body)
    guess = _Guess(name if is_object and not dialect else None)
    is_relayed = name == "anthropic_messages"
    if turn2 is not None and is_relayed:
        guess.tell()
        exit_with_error(["--turn2 is for requests that are translated"], "Messages are sent as they are.", code=USAGE)
    if betas and not is_relayed:
        guess.tell()
        exit_with_error(["--beta is for Messages"], "Add --dialect anthropic_messages, or leave it out.", code=USAGE)
    next_body = None if turn2 is None else _read(turn2)
    try:
        if is_relayed:
            show_native(explain_native(body, model, betas, routes.find, strict=strict))
            guess.tell()
            return
        options = dialect_options(config)
        first = translate(DIALECTS[name], body, model, routes.find, options)._replace(strict=strict)
        prepared = first.prepare(first.route.card)
        show(first, prepared)
        guess.tell()
        _note_stream(first, prepared)
        _note_stored(first)
        if next_body is not None:
            is_object = holds_object(next_body)
            second = translate(DIALECTS[name], next_body, model, routes.find, options)._replace(strict=strict)
            _note_stored(second)
            compare(prepared, second.prepare(second.route.card))
    except GatewayError as error:
        guess.tell()
        where = f" ({error.param})" if error.param else ""
        exit_with_error([f"{error.status}{where}: {error.message}"], error.hint if is_object else _NOT_AN_OBJECT)


def _config(config_path: Path | None, overrides: dict[str, Any]) -> Config:
    loaded = read_config(config_path, overrides)
    if config_path is None and not is_configured(loaded.config):
        vertex = loaded.config.vertex
        missing = {} if vertex.project else {"vertex.project": "PROJECT"}
        if not (vertex.location or vertex.region):
            missing["vertex.location"] = "global"
        loaded = read_config(None, missing | overrides)
    warn(loaded.warnings)
    return loaded.config


def _read(path: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if path == _STDIN else path.read_bytes()
    except OSError as error:
        exit_with_error([f"{path}: cannot be read: {error.strerror}"], "Pass a file with the body of a request.")


class _Guess:
    """The note that a dialect was guessed, and that another one may have been meant. Told once: after what is shown, or
    before an error, which may come from the guess.

    :param name: the dialect; None if it was not guessed.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name

    def tell(self) -> None:
        name, self._name = self._name, None
        if name is not None:
            others = " or ".join(f"--dialect {short}" for short, long in SHORT_NAMES.items() if long != name)
            print_lines("note", [f"the request was read as {name}; {others} changes that"], "cyan")


def _note_stream(translated: Translated, prepared: PreparedRequest) -> None:
    """Where a client that does not want a stream causes a streamed call."""
    if prepared.body.stream and not translated.wants_stream:
        reason = f"the reply may have more than {LONG_REPLY_TOKENS} tokens"
        note = f"{reason}, so it is streamed from Vertex AI; the client gets it in one piece"
        print_lines("note", [note], "cyan")


def _note_stored(translated: Translated) -> None:
    if translated.stored is None:
        return
    previous, ids = translated.stored.previous_id, translated.stored.item_ids
    notes = []
    if previous is not None:
        notes.append(f"the conversation of previous_response_id {previous} comes first; it is stored, and not shown")
    if ids:
        notes.append(f"items that are stored have placeholders, and reasoning none: {', '.join(ids)}")
    print_lines("note", notes, "cyan")
