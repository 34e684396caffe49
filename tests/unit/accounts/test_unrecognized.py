"""Risk: a gateway starts although it recognizes no key, or does not although no key of use is missing."""

from __future__ import annotations

from typing import Any

import pytest

from modelmux.accounts.unrecognized import unrecognized_keys
from support.directories import NOW, directory_of, key, secret


@pytest.mark.parametrize(
    ("fields", "secrets", "is_recognized"),
    [
        ({}, [{"pepper": "here"}], True),
        ({}, [{"pepper": "lost"}], False),
        ({}, [{"kind": "sha256"}], True),
        ({}, [{"pepper": "lost"}, {"pepper": "here"}], True),
        ({}, [{"pepper": "lost"}, {"pepper": "here", "valid_until": NOW}], False),
        ({}, [{"pepper": "lost", "valid_until": NOW + 1}], False),
        ({}, [{"pepper": "lost", "valid_until": NOW}], True),
        ({"expires": NOW}, [{"pepper": "lost"}], True),
        ({"expires": NOW + 1}, [{"pepper": "lost"}], False),
        ({"status": "revoked"}, [{"pepper": "lost"}], True),
        ({"status": "disabled"}, [{"pepper": "lost"}], True),
        ({"managed": True}, [{"pepper": "lost"}], True),
        ({}, [], True),
    ],
)
def test_a_key_without_a_secret_that_can_be_used(
    fields: dict[str, Any], secrets: list[dict[str, Any]], is_recognized: bool
) -> None:
    directory = directory_of(key(**fields), *(secret(str(index), **one) for index, one in enumerate(secrets)))
    assert [one.id for one in unrecognized_keys(directory, {"here"}, NOW)] == ([] if is_recognized else ["key_a"])


def test_they_are_in_the_order_of_their_ids() -> None:
    records = [(key(f"key_{id}", id), secret(id, f"key_{id}", pepper="lost")) for id in "cab"]
    directory = directory_of(*(record for pair in records for record in pair))
    assert [one.name for one in unrecognized_keys(directory, (), NOW)] == ["a", "b", "c"]
