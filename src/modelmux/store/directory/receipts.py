"""Receipts: what a request with a key of its own has changed, so that its repetition changes nothing twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from modelmux.accounts.directory import Directory
from modelmux.accounts.edits import DAY, Edit

_FIND: Final = "SELECT fingerprint, subject, detail FROM receipt WHERE name = ? AND at > ?"
_ADD: Final = "INSERT OR REPLACE INTO receipt (name, at, fingerprint, subject, detail) VALUES (?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM receipt WHERE at <= ?"


class Receipt(Struct, frozen=True):
    """What a change has made.

    :param subject: id of the record.
    :param detail: hash of the new secret in hexadecimal digits, or id of the adjustment; empty for others.
    """

    subject: str
    detail: str


class Once(Struct, frozen=True):
    """A change that a request makes once in 24 hours, however often it is sent.

    :param name: of the principal and the request.
    :param fingerprint: of what it asks for.
    :param repeat: decides what a repetition writes.
    """

    name: str
    fingerprint: bytes
    repeat: Callable[[Directory, Receipt], Edit]


class OtherRequest(Exception):
    """The name of a request is that of another one."""


def find(connection: sqlite3.Connection, once: Once, at: int) -> Receipt | None:
    """:param at: microseconds in UTC. :raises OtherRequest:"""
    return receipt_of(once, connection.execute(_FIND, (once.name, at - DAY)).fetchone())


def receipt_of(once: Once, row: tuple[bytes, str, str] | None) -> Receipt | None:
    """:param row: what is stored under the name of the request. :raises OtherRequest: it is that of another one."""
    if row is None:
        return None
    fingerprint, subject, detail = row
    if fingerprint != once.fingerprint:
        raise OtherRequest
    return Receipt(subject, detail)


def write(connection: sqlite3.Connection, once: Once, edit: Edit, receipt: Receipt | None, at: int) -> None:
    """Within the transaction of the change. A receipt of before stays, but for a secret that took the place of another.

    :param receipt: of before, if this was a repetition.
    """
    detail = detail_of(edit)
    if is_receipt_current(receipt, detail):
        return
    connection.execute(_FORGET, (at - DAY,))
    connection.execute(_ADD, (once.name, at, once.fingerprint, edit.subject, detail))


def detail_of(edit: Edit) -> str:
    """See ``Receipt``."""
    return edit.secrets[-1].digest.hex() if edit.secrets else edit.adjustments[0].id if edit.adjustments else ""


def is_receipt_current(receipt: Receipt | None, detail: str) -> bool:
    """Whether nothing has to be written: a repetition made no secret in place of another."""
    return receipt is not None and not detail
