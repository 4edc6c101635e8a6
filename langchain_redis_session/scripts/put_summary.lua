-- Store a summary and give the lease back. The one that goes further wins.
--
-- KEYS  1 sessions  2 events  3 summaries  4 lease
-- ARGV  1 session field  2 summary field  3 token of the lease  4 createdAt of the session meant
--       5 the summary up to its updated_at  6 the rest, behind it  7 score it goes to
--       8 '1' try TTL per field  9 createdAt again, as updated_at is written: it is not updated
--       before  10 score of a stored one that counts for nothing: it can't be read, or it is of
--       an earlier session of that id ('' = there is none)
-- Gives {'OK', summary, TTL per field or -1}, or, nothing stored:
--   {'FURTHER', summary}  the stored one goes as far or further (or this is a second try)
--   {'LOST'}              the lease is another's, or the session was cleared or deleted
--   {'FOREIGN'}           another program's value stands there
--#include _record
--#include _summaries

local record = redis.call('HGET', KEYS[1], ARGV[1])
local stored = redis.call('HGET', KEYS[3], ARGV[2])
local is_owner = redis.call('GET', KEYS[4]) == ARGV[3]
if is_owner then redis.call('DEL', KEYS[4]) end  -- whatever comes of it
if not record or is_dead(record, KEYS[2]) or not is_made_at(record, ARGV[4]) then return {'LOST'} end
if stored and not is_ours(stored) then return {'FOREIGN'} end
local cutoff = cutoff_of(stored)
local counts = cutoff and not (is_owner and cutoff == ARGV[10])
if counts and tonumber(cutoff) >= tonumber(ARGV[7]) then
  return {'FURTHER', stored}
end
if not is_owner then return {'LOST'} end

-- It lives as long as the session does by now: a summary is no use of it.
local ttl_ms = math.max(redis.call('PTTL', KEYS[2]), 0)
local existed = redis.call('EXISTS', KEYS[3]) == 1
local updated = format_now()
if updated < ARGV[9] then updated = ARGV[9] end  -- another clock made the session
local summary = ARGV[5] .. ',"updated_at":"' .. updated .. '"' .. ARGV[6]
redis.call('HSET', KEYS[3], ARGV[2], summary)
lengthen_ttl(KEYS[3], existed, ttl_ms)
if ttl_ms == 0 or ARGV[8] ~= '1' then return {'OK', summary, -1} end
local reply = redis.pcall('HPEXPIREAT', KEYS[3], string.format('%.0f', now_ms + ttl_ms),
  'FIELDS', 1, ARGV[2])
return {'OK', summary, reply.err and 0 or 1}
