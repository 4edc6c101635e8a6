-- Remove a session's events and summaries; its state and tracks stay. Events above the given
-- score have come since the caller looked, or since a first try: they stay too.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries  6 summary lease
-- ARGV  1 session field  2 summary field, with which all begin  3 session TTL ms (0 never)
--       4 '1' try TTL per field  5 highest score
-- Gives {how many events were removed, TTL per field or -1}, or {'FOREIGN'}: nothing is
-- changed but the record is not one of ours and must be rewritten first.
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
for i = 2, 3 do redis.call('ZCARD', KEYS[i]) end  -- the right type, before anything is written
redis.call('HLEN', KEYS[5])
local field_ttl, ttl_ms = -1, tonumber(ARGV[3])
if record and not is_dead(record, KEYS[2]) then
  local core = split_record(record)
  if not core then return {'FOREIGN'} end
  field_ttl = save_record(KEYS[1], ARGV[1], core, format_now(), ttl_ms, ARGV[4])
end
delete_summaries(KEYS[5], ARGV[1], ARGV[2])
redis.call('DEL', KEYS[6])  -- a summary that is being made is of what goes
local removed = redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[5])
touch_keys(KEYS[2], KEYS[3], KEYS[4], ttl_ms)
return {removed, field_ttl}
