-- Store a summary and give the lease back. The one that goes further wins.
--
-- KEYS  sessions_key, events_key, summaries_key, lease_key
-- ARGV  session_field
--       summary_field
--       token          of the lease
--       session_ttl_ms  0 = never
--       created        createdAt of the session meant
--       head, tail     the summary up to its updated_at, and the rest behind it
--       new_cutoff     score it goes to
--       try_field_ttl  '1' = TTLs per field
--       idle_cutoff    score of a stored one that counts for nothing: it can't be read, or it is
--                      of an earlier session of that id ('' = there is none)
-- Gives {'OK', summary, TTL per field}, or, nothing stored:
--       {'FURTHER', summary}  the stored one goes as far or further (or this is a second try)
--       {'GONE'}       the lease is another's, or the session was cleared or deleted
--       {'FOREIGN'}    another program's value stands there
local sessions_key, events_key, summaries_key, lease_key = unpack(KEYS)
local session_field, summary_field, token, session_ttl_ms, created, head, tail, new_cutoff,
  try_field_ttl, idle_cutoff = unpack(ARGV)
--#include _clock
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
local stored = redis.call('HGET', summaries_key, summary_field)
local is_owner = redis.call('GET', lease_key) == token
if is_owner then redis.call('DEL', lease_key) end  -- whatever comes of it
if not record or is_dead(record, events_key, tonumber(session_ttl_ms))
    or not is_made_at(record, created) then
  return {'GONE'}
end
if stored and not is_ours(stored) then return {'FOREIGN'} end
local cutoff = cutoff_of(stored)
local counts = cutoff and not (is_owner and cutoff == idle_cutoff)
if counts and tonumber(cutoff) >= tonumber(new_cutoff) then
  return {'FURTHER', stored}
end
if not is_owner then return {'GONE'} end

-- It lives as long as the session does by now: a summary is no use of it.
local ttl_ms = math.max(redis.call('PTTL', events_key), 0)
local existed = redis.call('EXISTS', summaries_key) == 1
-- Not before the session: another clock may have made it.
local seconds, nanoseconds = parse_time(created)
local created_us = seconds and seconds * 1000000 + math.ceil(nanoseconds / 1000) or now_us
local updated = trim_time(format_time(math.max(now_us, created_us)))
local summary = head .. ',"updated_at":"' .. updated .. '"' .. tail
redis.call('HSET', summaries_key, summary_field, summary)
local fields = {summary_field, index_summary(summaries_key, summary_field)}
lengthen_ttl(summaries_key, existed, ttl_ms)
if ttl_ms == 0 or try_field_ttl ~= '1' then return {'OK', summary, ''} end
local reply = redis.pcall('HPEXPIREAT', summaries_key, string.format('%.0f', now_ms + ttl_ms),
  'FIELDS', #fields, unpack(fields))
return {'OK', summary, reply.err and 0 or 1}
