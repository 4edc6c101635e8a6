-- Read summaries of a session without its events.
--
-- KEYS  sessions_key, events_key, summaries_key
-- ARGV  session_field  where trpc-agent-go's summaries stand too
--       …              the fields of the summaries
-- Gives {'OK', record, trpc-agent-go's summaries or '', {summary or ''}…}. Or:
--       {'MISSING'}    no session
local sessions_key, events_key, summaries_key = unpack(KEYS)
local session_field = unpack(ARGV, 1, 1)
--#include _record

local record = redis.call('HGET', sessions_key, session_field)
if not record or is_dead(record, events_key) then return {'MISSING'} end
local foreign = redis.call('HGET', summaries_key, session_field) or ''
local found = {}
for cursor = 2, #ARGV do
  found[#found + 1] = redis.call('HGET', summaries_key, ARGV[cursor]) or ''
end
return {'OK', record, foreign, found}
