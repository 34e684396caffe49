"""Keys whose secrets this gateway cannot recognize, because the pepper that they were hashed with is not here."""

from __future__ import annotations

from collections.abc import Collection

from modelmux.accounts.directory import Directory
from modelmux.accounts.records import Key


def unrecognized_keys(directory: Directory, peppers: Collection[str], now: int) -> list[Key]:
    """Keys that may be used, none of whose secrets can be. Those of the configuration are hashed anew at a start.

    :param peppers: ids of those that are here.
    :param now: microseconds in UTC.
    :returns: in the order of their ids.
    """
    recognized, others = set[str](), set[str]()
    for secret in directory.all_secrets():
        if secret.valid_until is None or now < secret.valid_until:
            is_known = secret.kind == "sha256" or secret.pepper in peppers
            (recognized if is_known else others).add(secret.key)
    keys = [directory.keys[id] for id in sorted(others - recognized)]
    return [key for key in keys if key.status == "active" and not key.managed and not _is_over(key, now)]


def _is_over(key: Key, now: int) -> bool:
    return key.expires is not None and now >= key.expires
