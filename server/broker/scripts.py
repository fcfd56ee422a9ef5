"""What the engine does in one step: each script is atomic, and safe to run again when its answer was lost.

A topic has three kinds of keys, in one slot of a cluster: ``meta`` (a hash: epoch, offset), ``log`` (a stream
whose ids are ``<offset>-<microseconds>``, so that offsets order it and every record carries its time) and
``key:…`` (a string for each idempotency key: epoch and offset of its record, forgotten by the engine's clock).
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

__all__ = ["DROP", "NEWEST", "PUBLISH", "READ", "SCRIPTS", "Script"]

NEWEST = -1  # in place of an offset to read after

_TOPIC = """
local meta, log = KEYS[1], KEYS[2]
local new_epoch, idle, age = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', tonumber(clock[2]))
local known = redis.call('HMGET', meta, 'epoch', 'offset')
local epoch, offset = known[1], tonumber(known[2])

local function save()
  redis.call('HSET', meta, 'epoch', epoch, 'offset', string.format('%.0f', offset))
  redis.call('PEXPIRE', meta, idle)
end

local function drop_old_records()
  local first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  while first and tonumber(string.match(first[1], '%d+$')) < tonumber(now) - age do
    redis.call('XDEL', log, first[1])
    first = redis.call('XRANGE', log, '-', '+', 'COUNT', 1)[1]
  end
  return first
end

if not epoch then
  redis.call('DEL', log)
  epoch, offset = new_epoch, 0
end
"""

_PUBLISH = (
    _TOPIC
    + """
local key, channel, payload, records, key_life = KEYS[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local first_time = redis.call('GET', key)
if first_time then
  local its_epoch, its_offset = string.match(first_time, '^(%S+) (%d+)$')
  if its_epoch == epoch then return {epoch, its_offset} end
end
offset = offset + 1
local place = string.format('%.0f', offset)
redis.call('XADD', log, 'MAXLEN', '=', records, place .. '-' .. now, 'payload', payload)
save()
redis.call('PEXPIRE', log, math.max(1, math.ceil(age / 1000)))
redis.call('SET', key, epoch .. ' ' .. place, 'PX', key_life)
drop_old_records()
redis.call('PUBLISH', channel, 'record ' .. epoch .. ' ' .. place .. ' ' .. now .. ' ' .. payload)
return {epoch, place}
"""
)

# an engine that lost its last records comes back with its epoch and a smaller offset: ARGV[7] is '1' where
# the caller has really seen the record ARGV[5], and then the epoch must change
_READ = (
    _TOPIC
    + """
local after_epoch, after_offset, count, seen = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7] == '1'
local lost = seen and after_epoch == epoch and after_offset > offset
if lost then epoch = new_epoch end
if lost or not known[1] then save() end
local oldest = drop_old_records()
local first = oldest and string.match(oldest[1], '^%d+') or string.format('%.0f', offset + 1)
local entries = {}
if count > 0 and after_offset < 0 then
  entries = redis.call('XREVRANGE', log, '+', '-', 'COUNT', count)
elseif count > 0 then
  local start = (after_epoch == epoch and after_offset <= offset) and after_offset + 1 or 0
  entries = redis.call('XRANGE', log, string.format('%.0f', start), '+', 'COUNT', count)
end
return {epoch, string.format('%.0f', offset), first, entries}
"""
)

_DROP = """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[1], 'dropped')
return 1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """The source of a script, and the name under which the engine keeps it."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> Script:
        """The script with this source."""
        return cls(source, sha1(source.encode()).hexdigest())


PUBLISH = Script.of(_PUBLISH)
"""Store and tell. KEYS: meta, log, key. ARGV: an epoch in case it is new, idle ms, age µs, channel, payload,
records to keep, life of the key in ms. Returns epoch, offset: those of the first time for a key seen before."""

READ = Script.of(_READ)
"""Read from a position. KEYS: meta, log. ARGV: an epoch in case it is new, idle ms, age µs, the epoch
and the offset to read after (`NEWEST`: as many as fit before the end), how many, whether that offset was really seen.
Returns epoch, offset, the first offset that is kept, entries; a new topic gets its epoch."""

DROP = Script.of(_DROP)
"""Forget a topic and tell. KEYS: meta, log. ARGV: channel. Its keys no longer fit the epoch, and expire."""

SCRIPTS = (PUBLISH, READ, DROP)
