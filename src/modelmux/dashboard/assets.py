"""Static files of the pages. Their addresses have a hash of their content, so browsers keep them until they change."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct

_TYPES: Final = {
    "css": b"text/css; charset=utf-8", "js": b"text/javascript; charset=utf-8", "svg": b"image/svg+xml",
}  # fmt: skip
PREFIX: Final = "/dashboard/static/"


class Asset(Struct, frozen=True):
    content: bytes
    media_type: bytes
    version: str


@cache
def assets() -> dict[str, Asset]:
    """By name: a path that a request names is looked up here, and never on the disk."""
    by_name = {}
    for file in resources.files("modelmux.dashboard").joinpath("static").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            content = file.read_bytes()
            by_name[file.name] = Asset(content, kind, hashlib.sha256(content).hexdigest()[:12])
    return by_name


def url_of(name: str) -> str:
    """The address of a file that there is."""
    return f"{PREFIX}{name}?v={assets()[name].version}"
