-- Read a stretch of events or track events.
--
-- KEYS  1 events or track
-- ARGV  1 'newest' or 'oldest': the end to start from  2 highest  3 lowest score
--       4 how many to pass over  5 how many to give (-1 = all)
-- Gives {size of the set, how many are older than those given, {entry, score}…}, in the
-- order read.

local size = redis.call('ZCARD', KEYS[1])
if size == 0 or ARGV[5] == '0' then return {size, 0, {}} end
local entries
if ARGV[1] == 'oldest' then
  entries = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[3], ARGV[2], 'WITHSCORES',
    'LIMIT', ARGV[4], ARGV[5])
else
  entries = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[2], ARGV[3], 'WITHSCORES',
    'LIMIT', ARGV[4], ARGV[5])
end
if #entries == 0 then return {size, 0, {}} end
local oldest = ARGV[1] == 'oldest' and entries[1] or entries[#entries - 1]
return {size, redis.call('ZRANK', KEYS[1], oldest), entries}
