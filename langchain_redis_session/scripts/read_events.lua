-- Read a stretch of events or track events.
--
-- KEYS  events_key   or a track
-- ARGV  first_end    the end to start from: 'newest' or 'oldest'
--       highest, lowest  scores
--       skip         how many to pass over
--       behind       an entry: its score is the highest, while it is there; '' = none
--       count        how many to give (-1 = all)
-- Gives {'OK', size of the set, how many are older than those given, {entry, score}…}, in the
--       order read.
local events_key = unpack(KEYS)
local first_end, highest, lowest, skip, behind, count = unpack(ARGV)

local size = redis.call('ZCARD', events_key)
if size == 0 or count == '0' then return {'OK', size, 0, {}} end
if behind ~= '' then highest = redis.call('ZSCORE', events_key, behind) or highest end
local entries
if first_end == 'oldest' then
  entries = redis.call('ZRANGEBYSCORE', events_key, lowest, highest, 'WITHSCORES',
    'LIMIT', skip, count)
else
  entries = redis.call('ZREVRANGEBYSCORE', events_key, highest, lowest, 'WITHSCORES',
    'LIMIT', skip, count)
end
if #entries == 0 then return {'OK', size, 0, {}} end
local oldest = first_end == 'oldest' and entries[1] or entries[#entries - 1]
return {'OK', size, redis.call('ZRANK', events_key, oldest), entries}
