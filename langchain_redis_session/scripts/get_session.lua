-- Read a session: its record, a summary, its newest events, and the state around it.
--
-- KEYS  1 sessions  2 events  3 summaries  4 user state (absent: not wanted)
--       5 app state (absent: not wanted, or in another slot)
-- ARGV  1 session field, where trpc-agent-go's summaries stand too  2 summary field
--       3 give no events if there are fewer than so many in these bounds
--       4 highest score  5 lowest ('summary' = above what the summary covers)
--       6 how many to pass over  7 how many to give (-1 = all)
-- Gives {record or '', summary or '', trpc-agent-go's summaries or '', size of the set of
-- events, how many are older, {entry, score}… newest first, {name, value}… of the user,
-- {name, value}… of the app}; {} if the session has expired.
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
if record and is_dead(record, KEYS[2]) then return {} end
local summary, foreign = '', ''
if record then
  summary = redis.call('HGET', KEYS[3], ARGV[2]) or ''
  foreign = redis.call('HGET', KEYS[3], ARGV[1]) or ''
end
local size, older, entries, lowest = redis.call('ZCARD', KEYS[2]), 0, {}, ARGV[5]
if lowest == 'summary' then
  local cutoff = cutoff_of(summary)
  lowest = cutoff and '(' .. cutoff or '-inf'
end
local is_worth = ARGV[3] == '0'
  or redis.call('ZCOUNT', KEYS[2], lowest, ARGV[4]) >= tonumber(ARGV[3])
if size > 0 and ARGV[7] ~= '0' and is_worth then
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[4], lowest, 'WITHSCORES',
    'LIMIT', ARGV[6], ARGV[7])
  if #entries > 0 then older = redis.call('ZRANK', KEYS[2], entries[#entries - 1]) end
end
local user_state = KEYS[4] and redis.call('HGETALL', KEYS[4]) or {}
local app_state = KEYS[5] and redis.call('HGETALL', KEYS[5]) or {}
return {record or '', summary, foreign, size, older, entries, user_state, app_state}
