"""What takes back the charge of a lease in doubt, when rows come that say what was spent of it.

A lease that its process could not renew is charged in full. Its rows may come later: the process was cut off, or its
journal was found. Then the charge becomes a lease again, in the transaction that writes these rows, so that what is
spent and leased together is never more than it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from modelmux.accounts.debits import sums_of_debits
from modelmux.accounts.entry import Entry
from modelmux.accounts.rerate import correction_id

_REASON: Final = "the process came back, or its journal was found"


def taken_back(entry: Entry, corrections: Sequence[Entry]) -> Entry | None:
    """The row that corrects the one of a lease in doubt, so that both charge nothing. Its debits are what the lease is
    from now on, with the other sign.

    :param corrections: all that it has: a person may have stated how much was spent.
    :returns: None if nothing is charged any more.
    """
    charged = {window: amount for window, amount in sums_of_debits((entry, *corrections)).items() if amount > 0}
    if not charged:
        return None
    return replace(
        entry,
        id=correction_id(entry, len(corrections)),
        kind="resolve",
        corrects=entry.id,
        reason=_REASON,
        debits=tuple((window, -amount) for window, amount in charged.items()),
    )
