-- Remove the given events from a session. Summaries that covered them stay, and end with what
-- is left.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries  6 summary lease
-- ARGV  1 session field  2 session TTL ms (0 never)  3 '1' try TTL per field
--       4 summary field  5… the entries
-- Gives {how many were there, TTL per field or -1}, or {'FOREIGN'} as clear_events.
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
local core = record and split_record(record)
if record and not core then return {'FOREIGN'} end
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[5])
local removed, field_ttl, ttl_ms = 0, -1, tonumber(ARGV[2])
for i = 5, #ARGV do
  local score = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if score then
    redis.call('ZREM', KEYS[2], ARGV[i])
    removed = removed + 1
  end
end
-- An id may stand in an earlier event too: the next one to ask reads the index anew.
-- A summary that is being made is of what goes.
if removed > 0 then redis.call('DEL', KEYS[3], KEYS[6]) end
if core and removed > 0 then
  field_ttl = save_record(KEYS[1], ARGV[1], core, format_now(), ttl_ms, ARGV[3])
  touch_keys(KEYS[2], KEYS[3], KEYS[4], ttl_ms)
  local top = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  local summaries = retract_summaries(KEYS[5], ARGV[4], top or '0')
  summaries[#summaries + 1] = ARGV[4]
  touch_summaries(KEYS[5], summaries, ttl_ms, ARGV[3])
end
return {removed, field_ttl}
