-- Take the lease that lets one process at a time summarize a session.
--
-- KEYS  1 sessions  2 events  3 summaries  4 lease
-- ARGV  1 session field  2 summary field  3 token, the owner's  4 how long it holds in ms
--       5 createdAt of the session meant  6 score that the stored summary goes to ('' = there
--       is none)  7 score of the last event to be covered
-- Gives {'OK'}, or {'BUSY', ms that another owner's holds}, or {'FOREIGN'}: another program's
-- value stands where the summary belongs, or {'CHANGED'}: the session, its summary or that event
-- is not what the caller has read.
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
local stored = redis.call('HGET', KEYS[3], ARGV[2])
if not record or not is_made_at(record, ARGV[5])
    or (cutoff_of(stored) or '') ~= ARGV[6]
    or redis.call('ZCOUNT', KEYS[2], ARGV[7], ARGV[7]) == 0 then
  return {'CHANGED'}
end
if stored and not is_ours(stored) then return {'FOREIGN'} end
local owner = redis.call('GET', KEYS[4])
if owner and owner ~= ARGV[3] then return {'BUSY', redis.call('PTTL', KEYS[4])} end
redis.call('SET', KEYS[4], ARGV[3], 'PX', ARGV[4])
return {'OK'}
