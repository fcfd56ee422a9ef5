"""What the engine does in one step: each script is atomic, and safe to run again if its answer was lost.

A topic has three kinds of keys, all in one slot of a cluster:

- ``meta``, a hash: epoch, offset and time of the newest record, and origin, the epoch in which the log began;
- ``log``, a stream: its ids are ``<offset>-<microseconds>``, so that the offsets order it and every record has its
  time; `previous` is the time of the record before it;
- ``key:…``, a string for each idempotency key: origin and offset of its record, until the engine lets it expire.

An engine can come back without its last records. So each script is told what its caller has seen; if the engine doesn't
have that, it begins a new epoch before it does anything else. The name of an epoch starts with the microsecond at which
it began, so that the older of two epochs is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

__all__ = ["DROP", "NEWEST", "PUBLISH", "READ", "SCRIPTS", "Script"]

NEWEST = -1  # in place of an offset to read after

_TOPIC = """
local meta, log = KEYS[1], KEYS[2]
local suffix, idle, age = ARGV[1], ARGV[2], tonumber(ARGV[3])
local seen_epoch, seen_offset, seen_time = ARGV[4], ARGV[5], ARGV[6]
local clock = redis.call('TIME')
local now = clock[1] .. string.format('%06d', tonumber(clock[2]))
local known = redis.call('HMGET', meta, 'epoch', 'offset', 'time', 'origin')
local epoch, offset, time, origin = known[1], tonumber(known[2]), known[3] or '0', known[4] or known[1]

local function integer(value)
  return string.format('%.0f', value)
end

local function save()
  redis.call('HSET', meta, 'epoch', epoch, 'offset', integer(offset), 'time', time, 'origin', origin)
  redis.call('PEXPIRE', meta, idle)
end

local function epoch_start(name)
  return name and tonumber(string.match(name, '^(%d+)%-')) or 0
end

local function record_from(start)
  local entry = redis.call('XRANGE', log, start, '+', 'COUNT', 1)[1]
  if not entry then return nil end
  local at, stamp = string.match(entry[1], '^(%d+)%-(%d+)$')
  return tonumber(at), stamp, entry[2][4]
end

local function is_in_future(stamp)
  return tonumber(stamp) > tonumber(now)
end

local function is_old(stamp)
  return tonumber(stamp) < tonumber(now) - age
end

local function lost_what_was_seen()
  if epoch_start(seen_epoch) > epoch_start(epoch) then return true end
  if seen_epoch ~= epoch then return false end
  local seen = tonumber(seen_offset)
  if seen > offset then return true end
  local its_time = time
  if seen < offset then
    -- the record's own time, or, if it is no longer kept, the one that the record after it names
    local at, stamp, previous = record_from(seen_offset)
    its_time = at == seen and stamp or at == seen + 1 and previous or '0'
  end
  return seen_time ~= '0' and its_time ~= '0' and its_time ~= seen_time
end

-- returns the last of the too old records at the beginning of the log, or nil
local function last_old(first, stamp)
  if not is_in_future(stamp) then return is_old(stamp) and first or nil end
  local _, its_stamp = record_from(integer(offset))
  if is_in_future(its_stamp) then return nil end
  -- a clock that ran ahead was set back: the first record after that gives the age of those before it
  local ahead, after = first, offset
  while after - ahead > 1 do
    local middle = math.floor((ahead + after) / 2)
    local _, there = record_from(integer(middle))
    if is_in_future(there) then ahead = middle else after, its_stamp = middle, there end
  end
  return is_old(its_stamp) and after or nil
end

-- returns the offset of the first record that is kept
local function drop_old_records()
  while true do
    local first, stamp = record_from('-')
    local old = first and last_old(first, stamp)
    if not old then return first or offset + 1 end
    redis.call('XTRIM', log, 'MINID', '=', integer(old + 1))
  end
end

local begins = not epoch or lost_what_was_seen()
if begins then
  local name = integer(math.max(tonumber(now), epoch_start(seen_epoch) + 1, epoch_start(epoch) + 1)) .. '-' .. suffix
  if not epoch then
    redis.call('DEL', log)
    offset, time, origin = 0, '0', name
  end
  epoch = name
  save()
end
"""

_PUBLISH = (
    _TOPIC
    + """
local key, channel, payload, records, key_life = KEYS[3], ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local used = redis.call('GET', key)
if used then
  local its_origin, its_offset = string.match(used, '^(%S+) (%d+)$')
  if its_origin == origin then return {epoch, its_offset, '0'} end
end
offset = offset + 1
local id, previous = integer(offset), time
time = now
redis.call('XADD', log, 'MAXLEN', '=', records, id .. '-' .. now, 'payload', payload, 'previous', previous)
save()
redis.call('PEXPIRE', log, math.max(1, math.ceil(age / 1000)))
redis.call('SET', key, origin .. ' ' .. id, 'PX', key_life)
drop_old_records()
redis.call('PUBLISH', channel, table.concat({'entry', epoch, id, now, previous, payload}, ' '))
return {epoch, id, now}
"""
)

_READ = (
    _TOPIC
    + """
local after_epoch, after_offset, count, empty_life = ARGV[7], tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
if offset == 0 then redis.call('PEXPIRE', meta, empty_life) end
local first = drop_old_records()
local entries = {}
if count > 0 and after_offset < 0 then
  entries = redis.call('XREVRANGE', log, '+', '-', 'COUNT', count)
elseif count > 0 then
  local start = (after_epoch == epoch and after_offset <= offset) and after_offset + 1 or 0
  entries = redis.call('XRANGE', log, integer(start), '+', 'COUNT', count)
end
return {epoch, integer(offset), integer(first), entries, time}
"""
)

_DROP = """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[1], 'dropped')
return 1
"""


@dataclass(frozen=True, slots=True)
class Script:
    """The source of a script, and the hash by which the engine knows it."""

    source: str
    sha: str

    @classmethod
    def of(cls, source: str) -> Script:
        """Return the script with this source."""
        return cls(source, sha1(source.encode()).hexdigest())


PUBLISH = Script.of(_PUBLISH)
"""Store a record and publish it on the channel.

KEYS: meta, log, key. ARGV: a suffix for the name of a new epoch, idle ms, age µs; epoch, offset and time of what was
seen; channel, payload, records to keep, life of the key in ms. Returns epoch, offset and time; for a key that was used
before, those of its record with a time of 0.
"""

READ = Script.of(_READ)
"""Read from a position, and create a topic that doesn't exist.

KEYS: meta, log. ARGV: the first six as `PUBLISH`; the epoch and the offset to read after (`NEWEST`: as many as fit
before the end), how many, the life in ms of a topic without a record. Returns epoch, offset, the first offset that is
kept, entries, time of the newest record.
"""

DROP = Script.of(_DROP)
"""Forget a topic and publish that on the channel.

KEYS: meta, log. ARGV: channel. The keys of the topic no longer match the epoch, and expire.
"""

SCRIPTS = (PUBLISH, READ, DROP)
