-- Remove the given events from a session. Summaries that covered them stay, and end with what
-- is left.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key, removals_key
-- ARGV  session_field
--       summary_field   with which all of the session's begin
--       session_ttl_ms  0 = never
--       try_field_ttl   '1' = TTLs per field
--       token           the caller's; what is sent again with it is done once
--       newest          the highest score that the caller has seen: all of the entries go, if
--                       nothing has come or gone meanwhile ('' = those that are there)
--       …               {entry, its message's id or ''}…
-- Gives {'OK', removed, TTL per field}: how many were there. Or, nothing changed:
--       {'CHANGED'}     the newest event is another, or an entry is gone
--       {'FOREIGN'}     the record is not one of ours and must be rewritten first
local sessions_key, events_key, index_key, tracks_key, summaries_key, lease_key, removals_key =
  unpack(KEYS)
local session_field, summary_field, session_ttl_ms, try_field_ttl, token, newest =
  unpack(ARGV, 1, 6)
--#include _clock
--#include _record
--#include _summaries
--#include _message_index

-- What was done lately, the last first: 'token=removed ' of each.
local receipts = redis.call('GET', removals_key) or ''
local receipt = string.match(receipts, token .. '=(%d+)')
if receipt then
  require_primary(sessions_key)
  return {'OK', tonumber(receipt), ''}
end
local record = redis.call('HGET', sessions_key, session_field)
local core = record and split_record(record)
if record and not core then return {'FOREIGN'} end
redis.call('ZCARD', index_key)
redis.call('HLEN', summaries_key)
local top = redis.call('ZREVRANGE', events_key, 0, 0, 'WITHSCORES')[2]
local scores, removed = {}, 0
for cursor = 7, #ARGV, 2 do
  local score = redis.call('ZSCORE', events_key, ARGV[cursor])
  scores[cursor], removed = score, removed + (score and 1 or 0)
end
if newest ~= '' and (not top or tonumber(top) ~= tonumber(newest)
    or removed < (#ARGV - 6) / 2) then
  require_primary(sessions_key)
  return {'CHANGED'}
end
if removed == 0 then
  require_primary(sessions_key)
  return {'OK', 0, ''}
end
-- Of ids that are in several events, the next one to ask builds the index anew.
local stand_once = not (redis.call('ZSCORE', index_key, '') or find_build(index_key))
for cursor = 7, #ARGV, 2 do
  if scores[cursor] then
    redis.call('ZREM', events_key, ARGV[cursor])
    if stand_once and ARGV[cursor + 1] ~= '' then
      redis.call('ZREM', index_key, ARGV[cursor + 1])
    end
  end
end
if not stand_once then redis.call('UNLINK', index_key) end
redis.call('DEL', lease_key)  -- a summary that is being made is of what goes
redis.call('SET', removals_key,
  token .. '=' .. removed .. ' ' .. string.sub(receipts, 1, 1600), 'PX', 60000)
local field_ttl, ttl_ms = '', tonumber(session_ttl_ms)
if core then
  field_ttl = save_record(sessions_key, session_field, core, format_time(now_us), ttl_ms, try_field_ttl)
  touch_keys(events_key, index_key, tracks_key, ttl_ms)
  local left = redis.call('ZREVRANGE', events_key, 0, 0, 'WITHSCORES')[2]
  local summaries = retract_summaries(summaries_key, summary_field, left or '0')
  summaries[#summaries + 1] = summary_field
  touch_summaries(summaries_key, summaries, ttl_ms, try_field_ttl)
end
return {'OK', removed, field_ttl}
