"""``modelmux completion``: the script with which a shell completes commands, options and names of settings."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

#: The name of the program, and the variable that requests completions from it.
_PROGRAM: Final = "modelmux"
_VARIABLE: Final = "_MODELMUX_COMPLETE"
_HOW: Final = {
    "bash": 'in ~/.bashrc: eval "$(modelmux completion bash)"',
    "zsh": 'in ~/.zshrc, after compinit: eval "$(modelmux completion zsh)"',
    "fish": "run once: modelmux completion fish > ~/.config/fish/completions/modelmux.fish",
}


@click.command(epilog="\b\n" + "\n".join(f"{shell}: {how}" for shell, how in _HOW.items()))
@click.argument("shell", type=click.Choice(list(_HOW)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for your shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, _PROGRAM, _VARIABLE).source())
