"""``modelmux validate``: the name that ``doctor`` had in the 1.x program."""

from __future__ import annotations

from typing import Any

import click

from modelmux.cli.doctor.command import doctor, doctor_options
from modelmux.cli.output import print_lines


@click.command()
@doctor_options
@click.pass_context
def validate(ctx: click.Context, /, **options: Any) -> None:
    """The old name of doctor."""
    print_lines("note", ["`modelmux validate` is deprecated; use `modelmux doctor`"], "cyan")
    ctx.invoke(doctor, **options)
