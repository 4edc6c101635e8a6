-- Remove a session's events and summaries; its state and tracks stay.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries
-- ARGV  1 session field  2 summary field  3 session TTL ms (0 never)
--       4 '1' try TTL per field
-- Gives {how many events were removed, TTL per field or -1}, or {'FOREIGN'}: nothing is
-- changed but the record is not one of ours and must be rewritten first.
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
local size = redis.call('ZCARD', KEYS[2])
local field_ttl, ttl_ms = -1, tonumber(ARGV[3])
if record and not is_dead(record, KEYS[2]) then
  local core = split_record(record)
  if not core then return {'FOREIGN'} end
  field_ttl = save_record(KEYS[1], ARGV[1], core, format_now(), ttl_ms, ARGV[4])
end
delete_summaries(KEYS[5], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[2], KEYS[3])
touch_keys(KEYS[2], KEYS[3], KEYS[4], ttl_ms)
return {size, field_ttl}
