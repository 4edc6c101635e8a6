-- Start a session's lifetime anew without writing to it.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, session_usage_key
-- ARGV  session_field
--       summary_field   that of the session's own summary
--       session_ttl_ms  0 = never
--       try_field_ttl   '1' = TTLs per field
-- Gives {'OK', TTL per field}. Or:
--       {'MISSING'}     no session
local sessions_key, events_key, index_key, tracks_key, summaries_key, session_usage_key = unpack(KEYS)
local session_field, summary_field, session_ttl_ms, try_field_ttl = unpack(ARGV)
--#include _clock
--#include _record

local record = redis.call('HGET', sessions_key, session_field)
local ttl_ms = tonumber(session_ttl_ms)
if not record or is_dead(record, events_key, ttl_ms) then return {'MISSING'} end
local core, _, updated = split_record(record)
touch_keys(events_key, index_key, tracks_key, ttl_ms)
set_ttl(session_usage_key, ttl_ms)
touch_summaries(summaries_key, {summary_field}, ttl_ms, try_field_ttl)
if not core then  -- a foreign record has no expiry of its own
  lengthen_ttl(sessions_key, true, ttl_ms)
  return {'OK', ''}
end
return {'OK', save_record(sessions_key, session_field, core, updated, ttl_ms, try_field_ttl)}
