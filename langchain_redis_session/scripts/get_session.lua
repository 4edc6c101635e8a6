-- Read a session: its record, its newest events, and the state around it.
--
-- KEYS  1 sessions  2 events  3 user state  4 app state (absent: in another slot)
-- ARGV  1 session field  2 highest  3 lowest score  4 how many to pass over
--       5 how many to give (-1 = all)
-- Gives {record, size of the set of events, how many are older, {entry, score}… newest
-- first, {name, value}… of the user, {name, value}… of the app}; {} if there is none.
--#include _record

local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or is_dead(record, KEYS[2]) then return {} end
local size, older, entries = redis.call('ZCARD', KEYS[2]), 0, {}
if size > 0 and ARGV[5] ~= '0' then
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[2], ARGV[2], ARGV[3], 'WITHSCORES',
    'LIMIT', ARGV[4], ARGV[5])
  if #entries > 0 then older = redis.call('ZRANK', KEYS[2], entries[#entries - 1]) end
end
local app_state = KEYS[4] and redis.call('HGETALL', KEYS[4]) or {}
return {record, size, older, entries, redis.call('HGETALL', KEYS[3]), app_state}
