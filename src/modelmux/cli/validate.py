"""``modelmux validate``: the name of ``doctor`` in ModelMux 1.x."""

from __future__ import annotations

from typing import Any

import click

from modelmux.cli.doctor.command import doctor, doctor_options
from modelmux.cli.output import print_lines


@click.command()
@doctor_options
@click.pass_context
def validate(ctx: click.Context, /, **options: Any) -> None:
    """Deprecated name of doctor."""
    print_lines("note", ["`modelmux validate` is deprecated; use `modelmux doctor`"], "cyan")
    ctx.invoke(doctor, **options)
