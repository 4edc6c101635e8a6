-- Read summaries of a session without its events.
--
-- KEYS  sessions_key, events_key, summaries_key
-- ARGV  session_field  where trpc-agent-go's summaries stand too
--       session_ttl_ms  0 = never
--       …              the fields of the summaries
-- Gives {'OK', record, trpc-agent-go's summaries or '', {filter key, score of the last event that
--       theirs covers}…, {summary or ''}…}. Or:
--       {'MISSING'}    no session
local sessions_key, events_key, summaries_key = unpack(KEYS)
local session_field, session_ttl_ms = unpack(ARGV, 1, 2)
--#include _clock
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
if not record or is_dead(record, events_key, tonumber(session_ttl_ms)) then return {'MISSING'} end
local foreign = redis.call('HGET', summaries_key, session_field) or ''
local cutoffs = {}
for filter_key, their_summary in pairs(read_foreign(foreign)) do
  local cutoff = foreign_cutoff(their_summary, events_key)
  if cutoff then
    cutoffs[#cutoffs + 1] = filter_key
    cutoffs[#cutoffs + 1] = cutoff
  end
end
local found = {}
for cursor = 3, #ARGV do
  found[#found + 1] = redis.call('HGET', summaries_key, ARGV[cursor]) or ''
end
return {'OK', record, foreign, cutoffs, found}
