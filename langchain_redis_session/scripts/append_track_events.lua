-- Append events to one track of a session.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries  6 the track
-- ARGV  1 session field  2 track name  3 event limit (0 none)  4 session TTL ms
--       5 track TTL ms (0 never)  6 '1' try TTL per field
--       7 expected core  8 its replacement, which names the track ('' = not known yet)
--       9 summary field  then {score, member}…
-- Gives {'OK', removed, TTL per field or -1, fates, scores}, or, nothing written:
--   {'MISSING'}        no session
--   {'STATE', record}  the track is new, and the record is not the expected one
--#include _record
--#include _sequence

local track_key, limit = KEYS[6], tonumber(ARGV[3])
local ttl_ms, track_ttl_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local record = redis.call('HGET', KEYS[1], ARGV[1])
local size = redis.call('ZCARD', track_key)
local is_known = redis.call('SISMEMBER', KEYS[4], ARGV[2]) == 1

local members, wanted = {}, {}
for i = 10, #ARGV, 2 do
  wanted[#wanted + 1], members[#members + 1] = ARGV[i], ARGV[i + 1]
end
local fates, scores, top = sort_out(track_key, members, wanted, limit, size)
local fresh = 0
for i = 1, #fates do
  if fates[i] == FRESH then fresh = fresh + 1 end
end
if fresh == 0 then
  require_primary(KEYS[1])
  return {'OK', 0, -1, fates, scores}
end
if not record or is_dead(record, KEYS[2]) then
  require_primary(KEYS[1])
  return {'MISSING'}
end
local core = split_record(record)
if not core or not is_known then
  if ARGV[8] == '' or (core or record) ~= ARGV[7] then return {'STATE', record} end
  core = ARGV[8]
end

append_fresh(track_key, members, wanted, fates, scores, top)
local removed = apply_limit(track_key, limit, size + fresh)
set_ttl(track_key, track_ttl_ms)
local index_existed = redis.call('EXISTS', KEYS[4]) == 1
redis.call('SADD', KEYS[4], ARGV[2])
lengthen_ttl(KEYS[4], index_existed, track_ttl_ms)
local field_ttl = save_record(KEYS[1], ARGV[1], core, format_now(), ttl_ms, ARGV[6])
touch_keys(KEYS[2], KEYS[3], KEYS[4], ttl_ms)
touch_summaries(KEYS[5], {ARGV[9]}, ttl_ms, ARGV[6])
return {'OK', removed, field_ttl, fates, scores}
