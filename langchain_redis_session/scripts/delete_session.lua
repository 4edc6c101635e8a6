-- Delete everything of a session, or what an expired one has left.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key, removals_key
--       session_usage_key
--       …              its tracks
-- ARGV  session_field
--       summary_field  with which all of the session's begin
--       session_ttl_ms  0 = never
--       only_expired   '1' = it stays unless it has expired
--       created        createdAt of the session meant ('' = it has no record)
--       …              the names of the tracks whose keys are given
-- Gives {'OK'}, or {'MISSING'} where there was no record, but perhaps something else of it. Or,
--       nothing deleted:
--       {'ALIVE'}      it was only to go if expired
--       {'TRACKS'}     it has other tracks than those given
--       {'CHANGED'}    a later session of that id (this is a second try, and somebody has made
--                      it meanwhile)
local sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key, removals_key,
  session_usage_key = unpack(KEYS, 1, 8)
local session_field, summary_field, session_ttl_ms, only_expired, created = unpack(ARGV, 1, 5)
--#include _clock
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
if only_expired == '1' and record and not is_dead(record, events_key, tonumber(session_ttl_ms)) then
  return {'ALIVE'}
end
if record and not is_made_at(record, created) then return {'CHANGED'} end
local given = {}
for cursor = 6, #ARGV do given[ARGV[cursor]] = true end
for _, name in ipairs(redis.call('SMEMBERS', tracks_key)) do
  if not given[name] then return {'TRACKS'} end
end
delete_summaries(summaries_key, session_field, summary_field)
-- Events without a record, which was evicted, stay as long as the session would.
if record or only_expired ~= '1' or have_expired(events_key, tonumber(session_ttl_ms)) then
  redis.call('UNLINK', events_key, index_key)
end
redis.call('UNLINK', tracks_key, lease_key, removals_key, session_usage_key)
for cursor = 9, #KEYS do redis.call('UNLINK', KEYS[cursor]) end
redis.call('HDEL', sessions_key, session_field)
if not record then return {'MISSING'} end
return {'OK'}
