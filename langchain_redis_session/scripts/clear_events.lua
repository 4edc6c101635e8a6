-- Remove a session's events and summaries; its state and tracks stay. Events above the given
-- score have come since the caller looked, or since a first try: they stay too.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key
-- ARGV  session_field
--       summary_field   with which all of the session's begin
--       session_ttl_ms  0 = never
--       try_field_ttl   '1' = TTLs per field
--       highest         score
-- Gives {'OK', removed, TTL per field}: how many events were removed. Or, nothing changed:
--       {'FOREIGN'}     the record is not one of ours and must be rewritten first
local sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key = unpack(KEYS)
local session_field, summary_field, session_ttl_ms, try_field_ttl, highest = unpack(ARGV)
--#include _clock
--#include _record
--#include _summaries
--#include _message_index

-- Gives how many it has removed. Mostly nothing newer, or little, stands there: then the key goes
-- whole, which the server does aside, and what is newer comes back.
local function remove_up_to_highest(key)
  local newer = redis.call('ZCOUNT', key, '(' .. highest, '+inf')
  local older = redis.call('ZCARD', key) - newer
  if older <= newer then return redis.call('ZREMRANGEBYSCORE', key, '-inf', highest) end
  local kept = {}
  if newer > 0 then
    kept = redis.call('ZRANGEBYSCORE', key, '(' .. highest, '+inf', 'WITHSCORES')
  end
  redis.call('UNLINK', key)
  for i = 1, #kept, 2 do redis.call('ZADD', key, kept[i + 1], kept[i]) end
  return older
end

local record = redis.call('HGET', sessions_key, session_field)
redis.call('ZCARD', events_key)  -- the right type, before anything is written
redis.call('ZCARD', index_key)
redis.call('HLEN', summaries_key)
local field_ttl, ttl_ms = '', tonumber(session_ttl_ms)
if record and not is_dead(record, events_key, ttl_ms) then
  local core = split_record(record)
  if not core then return {'FOREIGN'} end
  field_ttl = save_record(sessions_key, session_field, core, format_time(now_us), ttl_ms, try_field_ttl)
end
delete_summaries(summaries_key, session_field, summary_field)
redis.call('DEL', lease_key)  -- a summary that is being made is of what goes
local removed = remove_up_to_highest(events_key)
if find_build(index_key) then
  redis.call('UNLINK', index_key)
else
  remove_up_to_highest(index_key)
end
touch_keys(events_key, index_key, tracks_key, ttl_ms)
return {'OK', removed, field_ttl}
