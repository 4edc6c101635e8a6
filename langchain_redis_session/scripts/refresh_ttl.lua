-- Start a session's lifetime anew without writing to it.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries
-- ARGV  1 session field  2 session TTL ms (0 never)  3 '1' try TTL per field  4 summary field
-- Gives the TTL per field, or -1.
--#include _record

local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or is_dead(record, KEYS[2]) then return -1 end
local core, _, updated = split_record(record)
local ttl_ms = tonumber(ARGV[2])
touch_keys(KEYS[2], KEYS[3], KEYS[4], ttl_ms)
touch_summaries(KEYS[5], {ARGV[4]}, ttl_ms, ARGV[3])
if not core then  -- a foreign record has no expiry of its own
  lengthen_ttl(KEYS[1], true, ttl_ms)
  return -1
end
return save_record(KEYS[1], ARGV[1], core, updated, ttl_ms, ARGV[3])
