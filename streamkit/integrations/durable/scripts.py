"""What Redis does at once for a durable stream: begin, append, renew, look, cancel. Lua, one script each.

An answer has two keys. The *chunks* are a Redis stream, and all that a reader goes by: entries of one field, which is
"streamkit" (a writer begins; the version, and the chunks before), "c" (a chunk) or "end" (the outcome). The *writer* is
a hash about who writes: token, channel, lease and its end, the entries' first number (`ms`), the chunks before it
(`base`) and its own (`count`), the outcome (`ended`, "" while it runs) and the wish to cancel ("", or "because:" and
why). A script changes both or neither.

Entry ids are the writer's `ms` and a count from 1, so appending again what was appended already changes nothing. And a
writer that was taken for lost finds `ended`, or another's token, before it can add anything.
"""

from __future__ import annotations

import hashlib

from streamkit import lazy_attrs as attrs

__all__ = ["APPEND", "BEGIN", "CANCEL", "DELETE", "LOOK", "RENEW", "VERSION", "Script"]

VERSION = "1"
"""Of what lies in Redis."""


@attrs.frozen
class Script:
    """A text of Lua, and the name by which Redis knows it."""

    text: str
    sha: str = attrs.field(init=False)

    @sha.default
    def _sha(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function whole(number) return string.format('%.0f', number) end
local function id(ms, count) return whole(ms) .. '-' .. whole(count) end
local function remains(kind, token)
  if kind == 'none' then return token or redis.call('EXISTS', KEYS[2]) == 0 end
  if kind ~= 'stream' or token or redis.call('EXISTS', KEYS[2]) == 1 then return false end
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  return first and first[2][1] == 'streamkit'
end
"""
"""Begins each script. `remains`: whether nothing is there, or one key of the two: the other was evicted."""

BEGIN = Script(
    _NOW
    + """
local token, channel, lease, keep, version, after = unpack(ARGV)
local kind = redis.call('TYPE', KEYS[1]).ok
local old = redis.call('HMGET', KEYS[2], 'token', 'ended', 'ms', 'base', 'count', 'until')
if old[1] == token then return {'ok', old[3], old[4]} end
local ms, base = now, 0
if remains(kind, old[1]) then
  if after ~= '' then return {'unknown', '', ''} end
  redis.call('DEL', KEYS[1])
else
  if kind ~= 'stream' or not old[1] then return {'foreign', '', ''} end
  local state = old[2]
  if state == '' then state = tonumber(old[6]) > now and 'running' or 'lost' end
  base = old[4] + old[5]
  if after == '' or state == 'complete' or state == 'running' then return {state, '', ''} end
  if tonumber(after) ~= base then return {'changed', '', ''} end
  if old[2] ~= '' then redis.call('XDEL', KEYS[1], id(old[3], old[5] + 1)) end
  ms = math.max(now, old[3] + 1)
end
redis.call('XADD', KEYS[1], id(ms, 0), 'streamkit', version .. ' ' .. whole(base))
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'token', token, 'channel', channel, 'lease', lease, 'keep', keep, 'until', now + lease,
  'ms', whole(ms), 'base', base, 'count', 0, 'ended', '', 'cancel', '')
redis.call('PEXPIRE', KEYS[1], keep + lease)
redis.call('PEXPIRE', KEYS[2], keep + lease)
return {'ok', whole(ms), whole(base)}
"""
)
"""Keys: chunks, writer. Arguments: token, channel, lease and keep (ms), version, and the chunks that are known to be
there ("" for a new answer). Gives "ok", `ms` and `base`, or why not."""

APPEND = Script(
    _NOW
    + """
local token, first, ended, outcome = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local writer = redis.call('HMGET', KEYS[2], 'token', 'ended', 'ms', 'count', 'lease', 'keep', 'cancel')
if writer[1] ~= token then return {'gone', ''} end
if writer[2] ~= '' then return {writer[2] == ended and 'ok' or writer[2], ''} end
local ms, count, lease, keep = writer[3], tonumber(writer[4]), writer[5], writer[6]
if first > count + 1 or redis.call('EXISTS', KEYS[1]) == 0 then return {'gone', ''} end
local last = first + #ARGV - 5
for number = count + 1, last do
  redis.call('XADD', KEYS[1], id(ms, number), 'c', ARGV[number - first + 5])
end
last = math.max(last, count)
if ended ~= '' then
  redis.call('XADD', KEYS[1], id(ms, last + 1), 'end', outcome)
  lease = 0
end
redis.call('HSET', KEYS[2], 'count', last, 'until', now + lease, 'ended', ended)
redis.call('PEXPIRE', KEYS[1], keep + lease)
redis.call('PEXPIRE', KEYS[2], keep + lease)
return {'ok', writer[7]}
"""
)
"""Keys: chunks, writer. Arguments: token, number of the first chunk, "" or "complete" or "failed", the outcome, chunks.
Gives "ok" and the wish to cancel; or "gone", "lost"."""

RENEW = Script(
    _NOW
    + """
local told = {}
for at, token in ipairs(ARGV) do
  local chunks, key = KEYS[2 * at - 1], KEYS[2 * at]
  local writer = redis.call('HMGET', key, 'token', 'ended', 'lease', 'keep', 'cancel')
  if writer[1] ~= token or redis.call('EXISTS', chunks) == 0 then
    told[at] = {'gone', ''}
  elseif writer[2] ~= '' then
    told[at] = {writer[2], ''}
  else
    redis.call('HSET', key, 'until', now + writer[3])
    redis.call('PEXPIRE', chunks, writer[3] + writer[4])
    redis.call('PEXPIRE', key, writer[3] + writer[4])
    told[at] = {'ok', writer[5]}
  end
end
return told
"""
)
"""Keys: chunks and writer of each. Arguments: the token of each. Gives for each what `APPEND` gives."""

LOOK = Script(
    _NOW
    + """
local writer = redis.call('HMGET', KEYS[2], 'token', 'ended', 'ms', 'base', 'count', 'until', 'lease', 'keep')
local kind = redis.call('TYPE', KEYS[1]).ok
if remains(kind, writer[1]) then return {'unknown', 0, 0} end
if kind ~= 'stream' or not writer[1] then return {'foreign', 0, 0} end
local count = writer[4] + writer[5]
if writer[2] ~= '' then return {writer[2], count, 0} end
local left = writer[6] - now
if left <= 0 then
  local info = redis.pcall('INFO', 'server')
  local up = type(info) == 'string' and string.match(info, 'uptime_in_seconds:(%d+)')
  if up then left = writer[7] - up * 1000 end
end
if left > 0 then return {'running', count, left} end
local sealed = redis.pcall('XADD', KEYS[1], id(writer[3], writer[5] + 1), 'end', ARGV[1])
if sealed.err and not string.find(sealed.err, 'equal or smaller', 1, true) then return sealed end
redis.call('HSET', KEYS[2], 'ended', 'lost')
redis.call('PEXPIRE', KEYS[1], writer[8])
redis.call('PEXPIRE', KEYS[2], writer[8])
return {'lost', count, 0}
"""
)
"""Keys: chunks, writer. Argument: the outcome of a lost answer, which is written where the lease has run out; but after
a restart of Redis a writer has the time of a lease to come back, and behind an entry of others there is no place: who
reads comes upon that. Gives the state, the chunks, the ms that are left."""

CANCEL = Script(
    _NOW
    + """
local writer = redis.call('HMGET', KEYS[2], 'token', 'ended', 'channel', 'until')
if not writer[1] or writer[2] ~= '' or tonumber(writer[4]) <= now then return 0 end
redis.call('HSET', KEYS[2], 'cancel', 'because:' .. ARGV[1])
redis.call('PUBLISH', writer[3], writer[1] .. 'because:' .. ARGV[1])
return 1
"""
)
"""Keys: chunks, writer. Argument: why. Gives whether somebody was there to be told."""

DELETE = Script(
    """
local writer = redis.call('HMGET', KEYS[2], 'token', 'channel')
if writer[1] then redis.call('PUBLISH', writer[2], writer[1] .. 'deleted') end
return redis.call('DEL', KEYS[1], KEYS[2])
"""
)
"""Keys: chunks, writer."""
