"""``modelmux config``: the table of its commands."""

from __future__ import annotations

from typing import Final

import click

from modelmux.cli.lazy_group import LazyGroup

_COMMANDS: Final = {
    "init": ("config.init", "init", "Write a commented configuration, by questions or by options."),
    "show": ("config.show", "show", "Show the settings in force, and where each comes from."),
    "validate": ("config.validate", "validate", "Say everything that is wrong with the configuration."),
    "edit": ("config.edit", "edit", "Open the configuration in your editor, and check it afterwards."),
    "path": ("config.path", "path", "Say which files are looked at, in which order."),
    "import": ("config.import_", "import_", "Turn the configuration of LiteLLM into one of ModelMux."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def config() -> None:
    """Make, show, check and edit the configuration."""
