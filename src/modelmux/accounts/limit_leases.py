"""How processes of several nodes divide a limit: each leases a part of it, and gives back what it does not need.

A lease is a number up to which a process may count. All leases of a limit together are at most the limit, so whatever
each process counts within its lease, together they are within the limit in any minute, and with requests at once at
any moment. What a process has counted stays leased for as long as it counts; beyond that it leases ahead what it may
need next: a tenth of the limit at most, and less the less is left.

A process that has not counted anything of a limit has no lease of it. It admits a first part without one, since nothing
is asked for while a request waits: that much a limit may be passed, and by one request of each process at least.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import Struct

from modelmux.accounts.rate_limits import MINUTE

#: What is leased ahead is at most this part of a limit: a second of it would be one request, and others at the same
#: time would be refused.
PART: Final = 10
#: Ticks without a request after which no more is leased ahead than one needs, and nothing if nothing counts.
IDLE: Final = 2
#: Ticks after which a lease is reported again.
RENEW: Final = 2
#: Ticks of a lease that was never reported.
NEVER: Final = -(10**12)


class Seen(NamedTuple):
    """What an admission goes by.

    :param limit: of all nodes; of this process or node, where it cannot see what others count.
    :param used: what counts towards it.
    :param free: what may be counted in addition now.
    """

    limit: int
    used: int
    free: int

    def fits(self, needed: int) -> bool:
        """Whether a request is admitted. One that is estimated at more than the whole limit is, if it is alone: an
        estimate is too high, and it would be refused for ever."""
        return needed <= self.free or (self.used <= 0 and needed > self.limit)


class Lease(Struct):
    """Of one limit, in one process.

    :param amount: up to which the process may count. :param recorded: the same, as others see it.
    :param others: what other processes had leased when it was last reported.
    :param holders: how many had leased some, this one included.
    :param reported: tick at which it was last reported.
    :param requested: tick of the last request.
    :param usual: what that needed.
    :param short: what was refused since, for want of a lease.
    """

    amount: int = 0
    recorded: int = 0
    others: int = 0
    holders: int = 1
    reported: int = NEVER
    requested: int = NEVER
    usual: int = 1
    short: int = 0


class Ask(NamedTuple):
    """What a process reports of a lease, and asks for.

    :param amount: what it keeps, whether or not there is room.
    :param needed: in addition, if there is room. :param ahead: the same, of a half of its part of the room.
    """

    limit: int
    amount: int
    needed: int
    ahead: int


def first_part(limit: int, processes: int) -> int:
    """What a process admits of a limit that it has no lease of. :param processes: of all nodes."""
    return max(1, limit // (PART * max(1, processes)))


def seen_with_lease(lease: Lease, limit: int, used: int) -> Seen:
    """:param used: what this process counts."""
    return Seen(limit, max(used, 0) + lease.others, min(lease.amount, limit) - used)


def seen_without_lease(limit: int, used: int, needed: int, processes: int, others: int = 0) -> Seen:
    """The first part, or one request, as far as others had left it when they were last seen.

    :param others: what they had leased.
    """
    free = first_part(limit, processes) - used
    return Seen(limit, used + others, min(max(free, min(needed, limit)) if used <= 0 else free, limit - others))


def seen_alone(lease: Lease, limit: int, used: int, of_node: Seen, tick: int) -> Seen:
    """While nothing can be leased: the node's part of the limit. For as long as that counts which others had leased
    when they were last seen, no more than they have left.

    :param used: what this process counts. :param of_node: the part of the node.
    """
    if tick - lease.reported > MINUTE + 1:
        return of_node
    return of_node._replace(free=min(of_node.free, limit - lease.others - used))


def part_of_node(limit: int, nodes: int) -> int:
    """The limit of a node that cannot see the others."""
    return limit // max(1, nodes) or 1


def ask_for(lease: Lease, limit: int, used: int, tick: int) -> Ask:
    """What to report, and to ask for. The lease shrinks to what it reports: what is given back is not used any more.

    :param used: what this process counts.
    """
    used, ahead = max(used, 0), 0
    free = max(lease.amount - used, 0)
    room = max(limit - lease.others - used, 0)
    if tick - lease.requested <= IDLE:
        ahead = min(max(limit // PART, lease.usual, 1), limit)
    elif used:
        ahead = min(lease.usual, room // (2 * lease.holders))  # the last of a limit is for who asks
    retained = min(free, ahead, -(-room // (2 * lease.holders)))
    needed = max(min(lease.short, limit) - retained, 0)
    lease.amount, lease.short = used + retained, 0
    return Ask(limit, lease.amount, needed, ahead - retained)


def granted(lease: Lease, amount: int, others: int, holders: int, tick: int) -> None:
    """Take over an answer. :param tick: at which it was asked for."""
    lease.amount = lease.recorded = amount
    lease.others, lease.holders, lease.reported = others, max(1, holders), tick


def is_short(lease: Lease, limit: int, used: int) -> bool:
    """Whether to ask at once, and not when it is reported again anyway."""
    if lease.reported == NEVER or lease.short:
        return True
    room = limit - lease.others - lease.amount
    return room > 0 and 2 * (lease.amount - used) < min(max(limit // PART, lease.usual), room)


def is_over(lease: Lease, used: int, tick: int) -> bool:
    """Whether it can be forgotten: nothing is leased, counted or asked for."""
    return used <= 0 and lease.recorded <= 0 and tick - lease.requested > IDLE
