"""When what is told: keys that expire soon, and a ledger that lags."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modelmux.accounts.alert_types import KeyAlert, KeyName, alert_id, alert_time
from modelmux.accounts.records import Key

_DAY: Final = 86_400_000_000
#: Days before a key expires at which that is told.
KEY_DAYS: Final = (7, 1)
#: Seconds for which a row waits when that is told, and under which it is over.
LAG_BEGINS, LAG_ENDS = 60.0, 30.0
#: Rows that wait when that is told: a tenth of those that may wait.
MOST_ROWS: Final = 10_000
#: Microseconds; a lag that ends and begins again within them is told once, however many workers have it.
_SAME_LAG: Final = 3_600_000_000


def expiring(keys: Iterable[Key], now: int) -> tuple[list[KeyAlert], int | None]:
    """Keys that expire soon. Of one that was made with less time, the days that it never had are not told.

    :param now: microseconds in UTC.
    :returns: with the instant at which the next one is to be told; None if there is none.
    """
    alerts, coming = [], []
    for key in keys:
        if key.expires is None or key.expires <= now or key.status != "active":
            continue
        times = [(key.expires - days * _DAY, days) for days in KEY_DAYS if key.expires - days * _DAY >= key.created]
        coming += [at for at, _ in times if at > now]
        passed = [days for at, days in times if at <= now]
        if passed:
            alerts.append(_of_key(key, key.expires, min(passed), now))
    return alerts, min(coming, default=None)


def lag_id(host: str, began: int) -> str:
    """The id of a lag of the processes of one host. :param began: microseconds in UTC."""
    return alert_id("ledger.lag", host, str(began // _SAME_LAG))


def lags(seconds: float, waiting: int, *, is_lagging: bool) -> bool:
    """Whether the ledger lags. :param is_lagging: it did so at the last look."""
    if is_lagging:
        return seconds >= LAG_ENDS or waiting >= MOST_ROWS // 2
    return seconds >= LAG_BEGINS or waiting >= MOST_ROWS


def _of_key(key: Key, expires: int, days: int, now: int) -> KeyAlert:
    return KeyAlert(
        id=alert_id("key.expiring", key.id, str(expires), str(days)),
        at=alert_time(now),
        key=KeyName(key.id, key.name, key.team, key.person),
        expires_at=alert_time(expires),
        days=days,
    )
