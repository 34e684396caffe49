"""``modelmux usage verify``: whether the sums that reports read are those of the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from modelmux.cli.accounts.access import user_name
from modelmux.cli.accounts.api.client import AdminClient
from modelmux.cli.accounts.api.open_api import accounts_options, chosen_url, with_api
from modelmux.cli.options import read_config
from modelmux.cli.output import exit_with_error, print_json, print_lines, warn
from modelmux.cli.usage.options import Sources, counted, with_ledger
from modelmux.store.directory.base import Author
from modelmux.store.ledger.base import FIRST, Difference

#: Days and months at once: all of them.
_ALL: Final = 2**31


@click.command()
@accounts_options
@click.option("--repair", is_flag=True, help="Write the sums that differ anew.")
@click.option("--json", "json", is_flag=True, help="Print JSON for machines.")
@click.pass_context
def verify(
    context: click.Context, config_path: Path | None, overrides: dict[str, Any], repair: bool, json: bool
) -> None:
    """Recompute every sum of the ledger from its rows. Exits with 1 if one differs and is not repaired."""
    url = chosen_url()
    if url is not None:
        differences = with_api(url, config_path, overrides, lambda client: _from_api(client, repair=repair))
    else:
        loaded = read_config(config_path, overrides)
        warn(loaded.warnings)
        author = Author(user_name(), "cli") if repair else None
        now = int(Sources.of(context).now() * 1_000_000)
        done = with_ledger(context, loaded.config, lambda ledger: ledger.verify_some(FIRST, _ALL, author, now))
        differences = done.differences
    if json:
        rows = [{"what": one.what, "stored": one.stored, "recomputed": one.recomputed} for one in differences]
        print_json({"differences": rows, "repaired": repair and bool(differences)})
    else:
        for one in differences:
            click.echo(f"{one.what}: stored {one.stored}, but the rows have {one.recomputed}")
        if not differences:
            click.echo("every sum is that of its rows")
    if not differences:
        return
    if repair:
        print_lines("note", [f"{counted(len(differences), 'sum')} written anew"], "cyan")
        return
    wrong = f"the ledger has {counted(len(differences), 'wrong sum')}"
    exit_with_error([wrong], "`modelmux usage verify --repair` writes them anew; rows are never changed.")


async def _from_api(client: AdminClient, *, repair: bool) -> list[Difference]:
    """:raises ApiError:"""
    differences: list[Difference] = []
    after: str | None = None
    while True:
        position = {} if after is None else {"after": after}
        answer = await client.call("POST", "/ledger/verify", {"repair": repair, **position})
        differences += [Difference(one["what"], one["stored"], one["recomputed"]) for one in answer["differences"]]
        after = answer["next"]
        if after is None:
            return differences
