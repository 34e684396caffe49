"""The settings and programs in ``docs/clients``, rendered from the table of ``modelmux connect``.

``python -m tools.docs.clients`` renews in place what is between ``<!-- connect NAME MODE -->`` and
``<!-- /connect -->``; a test compares the two, and another one runs the programs. It also renews what each page says
about how it was tried (``tools/docs/tried.py``).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from modelmux.catalog import builtin
from modelmux.cli.connect.gateway_url import GatewayUrl
from modelmux.cli.connect.names import choose_names
from modelmux.cli.connect.render import Setup, export, render
from modelmux.cli.connect.table import API_TITLES, Client, clients
from tools.docs.tried import line

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = ROOT / "docs" / "clients"
URL: Final = GatewayUrl("http://127.0.0.1:3000")
_BLOCK: Final = re.compile(r"(?<=<!-- connect )([\w-]+) (\w+)( -->\n).*?(?=<!-- /connect -->)", re.DOTALL)
_TRIED: Final = re.compile(r"(?<=<!-- tried )([\w-]+)( -->\n).*?(?=<!-- /tried -->)", re.DOTALL)
_LIST: Final = re.compile(r"(?<=<!-- clients -->\n).*?(?=<!-- /clients -->)", re.DOTALL)


def entry(name: str, api: str) -> Client:
    """The entry of a client for one API."""
    return next(client for client in clients().modes(name) if client.api == api)


def setup(client: Client) -> Setup:
    """The settings for a gateway on this machine that serves the catalog."""
    served = {card.base: card for card in builtin().cards}
    return render(client, URL, choose_names(client, served, None, configured=False), None)


def block(client: Client) -> str:
    """The settings of a client as Markdown."""
    settings = setup(client)
    parts = []
    if settings.environment:
        exports = "\n".join(export(name, text) for name, text in settings.environment.items())
        parts.append(f"```sh\n{exports}\n```\n")
    if settings.code:
        parts.append(f"```{client.language}\n{settings.code.strip()}\n```\n")
    if settings.fields:
        rows = "".join(f"| {label} | `{text}` |\n" for label, text in settings.fields.items())
        parts.append(f"| setting | value |\n|---|---|\n{rows}")
    if settings.content and client.file is not None and not client.file.environment_key:
        parts.append(f"In `{settings.path}`:\n\n```{client.file.format}\n{settings.content.strip()}\n```\n")
    return "\n".join(parts)


def index() -> str:
    """All clients as a Markdown table."""
    table = clients()
    rows = []
    for name in table.names:
        modes = table.modes(name)
        apis = ", ".join(API_TITLES[client.api] for client in modes)
        file = modes[0].file
        written = f"`{file.path}`" if file is not None and not file.write else "no"
        rows.append(f"| [{modes[0].title}]({modes[0].page}) | `{name}` | {apis} | {written} |\n")
    return "| client | name | speaks | written by `--write` |\n|---|---|---|---|\n" + "".join(rows)


def renew(page: str) -> str:
    """A page with every block rendered anew."""
    page = _BLOCK.sub(lambda match: f"{match[1]} {match[2]}{match[3]}{block(entry(match[1], match[2]))}", page)
    page = _TRIED.sub(lambda match: f"{match[1]}{match[2]}{line(match[1])}", page)
    return _LIST.sub(lambda _: index(), page)


if __name__ == "__main__":
    for path in PAGES.glob("*.md"):
        path.write_text(renew(path.read_text("utf-8")), "utf-8")
