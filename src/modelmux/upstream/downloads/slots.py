"""Who may download: a number of slots, of which neither one client nor one host gets more than half.

A host that hangs holds its slots until the timeout, and a client may name a thousand URLs: without shares, either would
stop the downloads of all others. Waiting clients take turns; a download whose client or host has its share lets others
pass.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from typing import Final

#: Concurrent downloads of all requests together.
MAX_CONCURRENT: Final = 32

_Waiters = deque[asyncio.Future[None]]


class DownloadSlots:
    """See the module.

    :param total: slots; half of them, rounded up, are the share of a client and of a host.
    """

    def __init__(self, total: int = MAX_CONCURRENT) -> None:
        self.free = total
        self.share = (total + 1) // 2
        self._by_owner = Counter[str]()
        self._by_host = Counter[str]()
        #: owner -> host -> those that wait, first come first. The owner at the front is served next.
        self._waiting: OrderedDict[str, OrderedDict[str, _Waiters]] = OrderedDict()

    async def acquire(self, owner: str, host: str) -> None:
        """Wait for a slot; give it back with ``release``.

        :param owner: the client; "" if clients are not told apart, which have no share then.
        :param host: where the download goes first.
        """
        if self._may_start(owner, host):
            self._take(owner, host)
            return
        slot: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, OrderedDict()).setdefault(host, deque()).append(slot)
        try:
            await slot
        except BaseException:
            if slot.done() and not slot.cancelled():
                self.release(owner, host)  # it was granted at the same moment
            else:
                self._remove(owner, host, slot)
            raise

    def release(self, owner: str, host: str) -> None:
        """Give a slot back."""
        self._give_back(owner, host)
        while (granted := self._next()) is not None:
            owner, host, waiter = granted
            if waiter.done():  # cancelled, and its task has not run since
                self._give_back(owner, host)
            else:
                waiter.set_result(None)

    def _may_start(self, owner: str, host: str) -> bool:
        return self.free > 0 and (not owner or self._by_owner[owner] < self.share) and self._by_host[host] < self.share

    def _take(self, owner: str, host: str) -> None:
        self.free -= 1
        self._by_owner[owner] += 1
        self._by_host[host] += 1

    def _give_back(self, owner: str, host: str) -> None:
        self.free += 1
        for counter, name in ((self._by_owner, owner), (self._by_host, host)):
            counter[name] -= 1
            if not counter[name]:
                del counter[name]

    def _next(self) -> tuple[str, str, asyncio.Future[None]] | None:
        """Take a slot for one that waits. Few are looked at: at most two owners and two hosts have their share."""
        if not self.free:
            return None
        for owner, hosts in self._waiting.items():
            for host, waiters in hosts.items():
                if self._may_start(owner, host):
                    self._take(owner, host)
                    self._waiting.move_to_end(owner)
                    hosts.move_to_end(host)
                    waiter = waiters[0]
                    self._remove(owner, host, waiter)
                    return owner, host, waiter
                if owner and self._by_owner[owner] >= self.share:
                    break
        return None

    def _remove(self, owner: str, host: str, slot: asyncio.Future[None]) -> None:
        hosts = self._waiting.get(owner, OrderedDict())
        if slot not in hosts.get(host, ()):
            return
        hosts[host].remove(slot)
        if not hosts[host]:
            del hosts[host]
        if not hosts:
            del self._waiting[owner]
