-- Append events to one track of a session.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, track_key
-- ARGV  session_field
--       summary_field   that of the session's own summary
--       track           its name
--       event_limit     0 = none
--       session_ttl_ms, track_ttl_ms  0 = never
--       try_field_ttl   '1' = TTLs per field
--       expected_core   the record that was read, without its end
--       replacement     a core that names the track ('' = not known yet)
--       …               {score, member} of each event
-- Gives {'OK', removed, TTL per field, limit, fates, scores, 0, ''}, as append_events. Or, nothing
--       written:
--       {'MISSING'}        no session
--       {'STATE', record}  the track is new, and the record is not the expected one
local sessions_key, events_key, index_key, tracks_key, summaries_key, track_key = unpack(KEYS)
local session_field, summary_field, track, event_limit, session_ttl_ms, track_ttl_ms,
  try_field_ttl, expected_core, replacement = unpack(ARGV, 1, 9)
--#include _clock
--#include _record
--#include _sequence

local limit, ttl_ms = tonumber(event_limit), tonumber(session_ttl_ms)
local track_ttl = tonumber(track_ttl_ms)
local record = redis.call('HGET', sessions_key, session_field)
local size = redis.call('ZCARD', track_key)
local is_known = redis.call('SISMEMBER', tracks_key, track) == 1

local members, wanted = {}, {}
for cursor = 10, #ARGV, 2 do
  wanted[#wanted + 1], members[#members + 1] = ARGV[cursor], ARGV[cursor + 1]
end
local fates, scores, top = sort_out(track_key, members, wanted, limit, size)
local fresh = 0
for i = 1, #fates do
  if fates[i] == FRESH then fresh = fresh + 1 end
end
if fresh == 0 then
  require_primary(sessions_key)
  return {'OK', 0, '', limit, fates, scores, 0, ''}
end
if not record or is_dead(record, events_key, ttl_ms) then
  require_primary(sessions_key)
  return {'MISSING'}
end
local core = split_record(record)
if not core or not is_known then
  if replacement == '' or (core or record) ~= expected_core then return {'STATE', record} end
  core = replacement
end

append_fresh(track_key, members, wanted, fates, scores, top)
local removed = apply_limit(track_key, limit, size + fresh, fresh)
set_ttl(track_key, track_ttl)
local index_existed = redis.call('EXISTS', tracks_key) == 1
redis.call('SADD', tracks_key, track)
lengthen_ttl(tracks_key, index_existed, track_ttl)
local field_ttl = save_record(sessions_key, session_field, core, format_time(now_us), ttl_ms,
  try_field_ttl)
touch_keys(events_key, index_key, tracks_key, ttl_ms)
touch_summaries(summaries_key, {summary_field}, ttl_ms, try_field_ttl)
return {'OK', removed, field_ttl, limit, fates, scores, 0, ''}
