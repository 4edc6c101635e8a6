-- Delete everything of a session, or what an expired one has left.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries  6 summary lease
--       7… its tracks
-- ARGV  1 session field  2 summary field, with which all begin  3 '1' only if it has expired
--       4 createdAt of the session meant, '' if it has no record
--       5… the names of the tracks whose keys are given
-- Gives 1 if there was a record, 0 if not, or, nothing deleted: -1 if it lives and was only
-- to go if expired, -2 if it has other tracks than those given, -3 if it is a later session
-- of that id (this is a second try, and somebody has made it meanwhile).
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
local only_expired = ARGV[3] == '1'
if only_expired and record and not is_dead(record, KEYS[2]) then return -1 end
if record and not is_made_at(record, ARGV[4]) then return -3 end
local given = {}
for i = 5, #ARGV do given[ARGV[i]] = true end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[4])) do
  if not given[name] then return -2 end
end
delete_summaries(KEYS[5], ARGV[1], ARGV[2])
-- Events without a record: the record was evicted, not the session deleted; keep them.
if record or not only_expired then redis.call('DEL', KEYS[2], KEYS[3]) end
redis.call('DEL', KEYS[4], KEYS[6])
for i = 7, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('HDEL', KEYS[1], ARGV[1])
return record and 1 or 0
