-- Remove the given events from a session. Summaries that covered them stay, and end with what
-- is left.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key
-- ARGV  session_field
--       summary_field   with which all of the session's begin
--       session_ttl_ms  0 = never
--       try_field_ttl   '1' = TTLs per field
--       …               the entries
-- Gives {'OK', removed, TTL per field}: how many were there. Or, nothing changed:
--       {'FOREIGN'}     the record is not one of ours and must be rewritten first
local sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key = unpack(KEYS)
local session_field, summary_field, session_ttl_ms, try_field_ttl = unpack(ARGV, 1, 4)
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
local core = record and split_record(record)
if record and not core then return {'FOREIGN'} end
redis.call('ZCARD', index_key)
redis.call('HLEN', summaries_key)
local removed, field_ttl, ttl_ms = 0, '', tonumber(session_ttl_ms)
for cursor = 5, #ARGV do
  if redis.call('ZREM', events_key, ARGV[cursor]) == 1 then removed = removed + 1 end
end
-- An id may stand in an earlier event too: the next one to ask reads the index anew.
-- A summary that is being made is of what goes.
if removed > 0 then redis.call('DEL', index_key, lease_key) end
if core and removed > 0 then
  field_ttl = save_record(sessions_key, session_field, core, format_now(), ttl_ms, try_field_ttl)
  touch_keys(events_key, index_key, tracks_key, ttl_ms)
  local top = redis.call('ZREVRANGE', events_key, 0, 0, 'WITHSCORES')[2]
  local summaries = retract_summaries(summaries_key, summary_field, top or '0')
  summaries[#summaries + 1] = summary_field
  touch_summaries(summaries_key, summaries, ttl_ms, try_field_ttl)
end
return {'OK', removed, field_ttl}
