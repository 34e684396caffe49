"""``modelmux config`` and the table of its commands."""

from __future__ import annotations

from typing import Final

import click

from modelmux.cli.lazy_group import LazyGroup

_COMMANDS: Final = {
    "init": ("config.init", "init", "Write a commented configuration, from answers or options."),
    "show": ("config.show", "show", "Show the settings in force, and their sources."),
    "validate": ("config.validate", "validate", "Report everything that is wrong with the configuration."),
    "edit": ("config.edit", "edit", "Edit the configuration in your editor, then check it."),
    "path": ("config.path", "path", "Show which files are read, in order of precedence."),
    "import": ("config.import_", "import_", "Convert a LiteLLM configuration."),
}


@click.group(cls=LazyGroup, table=_COMMANDS)
def config() -> None:
    """Create, show, check and edit the configuration."""
