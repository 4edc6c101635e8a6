-- Read a session: its record, a summary, its newest events, and the state around it.
--
-- KEYS  sessions_key, events_key, summaries_key
--       user_state_key  absent where it is not wanted
--       app_state_key   absent where it is not wanted, or in another slot
-- ARGV  session_field   where trpc-agent-go's summaries stand too
--       summary_field
--       session_ttl_ms  0 = never
--       at_least        give no events if there are fewer in these bounds
--       highest, lowest  scores
--       since_summary   '1' = above what the summary covers, whatever the lowest score: ours or
--                       theirs, whichever goes further
--       skip            how many to pass over
--       count           how many to give (-1 = all)
-- Gives {'OK', record or '', summary or '', trpc-agent-go's summaries or '', the score of the last
--       event that theirs covers or '', size of the set of events, how many are older,
--       {entry, score}… newest first, {entry, score}… of the system messages that ours covers (where
--       since_summary), {name, value}… of the user, {name, value}… of the app}. Or:
--       {'MISSING'}     the session, or what is left of it without a record, has expired
local sessions_key, events_key, summaries_key, user_state_key, app_state_key = unpack(KEYS)
local session_field, summary_field, session_ttl_ms, at_least, highest, lowest, since_summary,
  skip, count = unpack(ARGV)
--#include _clock
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
if record and is_dead(record, events_key, tonumber(session_ttl_ms)) then
  return {'MISSING'}
end
if not record and have_expired(events_key, tonumber(session_ttl_ms)) then return {'MISSING'} end
local summary, foreign, their_cutoff = '', '', nil
if record then
  summary = redis.call('HGET', summaries_key, summary_field) or ''
  foreign = redis.call('HGET', summaries_key, session_field) or ''
  their_cutoff = foreign_cutoff(read_foreign(foreign)[filter_key_of(summary_field)], events_key)
end
local size, older, entries, front = redis.call('ZCARD', events_key), 0, {}, {}
if since_summary == '1' then
  local cutoff = further_of(cutoff_of(summary), their_cutoff)
  lowest = cutoff and '(' .. cutoff or '-inf'
  for score in string.gmatch(system_scores_of(summary), '%S+') do
    for _, part in ipairs(redis.call('ZRANGEBYSCORE', events_key, score, score, 'WITHSCORES')) do
      front[#front + 1] = part
    end
  end
end
local is_worth = at_least == '0'
  or redis.call('ZCOUNT', events_key, lowest, highest) >= tonumber(at_least)
if size > 0 and count ~= '0' and is_worth then
  entries = redis.call('ZREVRANGEBYSCORE', events_key, highest, lowest, 'WITHSCORES',
    'LIMIT', skip, count)
  if #entries > 0 then older = redis.call('ZRANK', events_key, entries[#entries - 1]) end
end
local user_state = user_state_key and redis.call('HGETALL', user_state_key) or {}
local app_state = app_state_key and redis.call('HGETALL', app_state_key) or {}
return {'OK', record or '', summary, foreign, their_cutoff or '', size, older, entries, front,
  user_state, app_state}
