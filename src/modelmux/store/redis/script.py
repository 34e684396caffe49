"""The script that keeps the leases of limits. It runs as one step of the server, for all limits of an exchange.

Each limit has a hash: holder -> ``AMOUNT EXPIRY``. What a holder reports it keeps, whether or not there is room,
because it has counted that much. What it asks for in addition it gets if there is room: first what requests need, then
a half of its part of the rest. Times are those of the server, in milliseconds.

What was lost, with a restart of a server that keeps nothing or by ``FLUSHALL``, holders do not know of at once. So
for a while after the first exchange of all, leases are reported, and nothing is granted.
"""

from __future__ import annotations

from typing import Final

#: In front of all keys. The braces keep them on one server of a cluster.
PREFIX: Final = "modelmux:{limits}:"
#: Keys that every exchange has: since when there are leases; the processes, and the nodes, that exchange.
COMMON: Final = (f"{PREFIX}since", f"{PREFIX}processes", f"{PREFIX}nodes")

# KEYS: COMMON, then one for each limit.
# ARGV: process, node, milliseconds for which both count, milliseconds without grants, 1 to leave; then for each limit:
# limit, amount, needed, ahead, milliseconds for which it is kept.
# Answer: since, processes, nodes; then for each limit: amount, others, holders.
SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local process, node = ARGV[1], ARGV[2]
local since = tonumber(redis.call('GET', KEYS[1]))
if not since or since > now then
  since = now
  redis.call('SET', KEYS[1], string.format('%.0f', now))
end
redis.call('PEXPIRE', KEYS[1], 3600000)
local grants = now - since >= tonumber(ARGV[4])

local function alive(key, member)
  if ARGV[5] == '1' then
    redis.call('ZREM', key, member)
  else
    redis.call('ZADD', key, string.format('%.0f', now + ARGV[3]), member)
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now))
  redis.call('PEXPIRE', key, ARGV[3])
  return redis.call('ZCARD', key)
end

local answer = {string.format('%.0f', since), alive(KEYS[2], process), alive(KEYS[3], node)}
for index = 4, #KEYS do
  local key, first = KEYS[index], 6 + (index - 4) * 5
  local limit, amount = tonumber(ARGV[first]), tonumber(ARGV[first + 1])
  local needed, ahead = tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local keep, others, holders = tonumber(ARGV[first + 4]), 0, 1
  local entries = redis.call('HGETALL', key)
  for entry = 1, #entries, 2 do
    if entries[entry] ~= process then
      local leased, expiry = string.match(entries[entry + 1], '(%d+) (%d+)')
      if tonumber(expiry) <= now then
        redis.call('HDEL', key, entries[entry])
      else
        others, holders = others + leased, holders + 1
      end
    end
  end
  local room = limit - others - amount
  if grants and room > 0 then
    amount = amount + math.max(math.min(needed, room), math.min(ahead, math.ceil(room / (2 * holders))))
  end
  if amount > 0 then
    redis.call('HSET', key, process, string.format('%.0f %.0f', amount, now + keep))
    redis.call('PEXPIRE', key, math.max(keep, redis.call('PTTL', key)))
  else
    redis.call('HDEL', key, process)
  end
  answer[#answer + 1] = string.format('%.0f', amount)
  answer[#answer + 1] = string.format('%.0f', others)
  answer[#answer + 1] = holders
end
return answer
"""
