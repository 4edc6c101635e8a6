-- Take the lease that lets one process at a time summarize a session.
--
-- KEYS  sessions_key, events_key, summaries_key, lease_key
-- ARGV  session_field
--       summary_field
--       token          the owner's
--       lease_ms       how long it holds
--       created        createdAt of the session meant
--       stored_cutoff  score that the stored summary goes to ('' = there is none)
--       last_score     that of the last event to be covered
-- Gives {'OK'}, or, not taken:
--       {'BUSY', ms}   another owner's, which holds so long
--       {'FOREIGN'}    another program's value stands where the summary belongs
--       {'CHANGED'}    the session, its summary or that event is not what the caller has read
local sessions_key, events_key, summaries_key, lease_key = unpack(KEYS)
local session_field, summary_field, token, lease_ms, created, stored_cutoff, last_score =
  unpack(ARGV)
--#include _clock
--#include _record
--#include _summaries

local record = redis.call('HGET', sessions_key, session_field)
local stored = redis.call('HGET', summaries_key, summary_field)
if not record or not is_made_at(record, created)
    or (cutoff_of(stored) or '') ~= stored_cutoff
    or redis.call('ZCOUNT', events_key, last_score, last_score) == 0 then
  return {'CHANGED'}
end
if stored and not is_ours(stored) then return {'FOREIGN'} end
local owner = redis.call('GET', lease_key)
if owner and owner ~= token then return {'BUSY', redis.call('PTTL', lease_key)} end
redis.call('SET', lease_key, token, 'PX', lease_ms)
return {'OK'}
