-- Read summaries of a session without its events.
--
-- KEYS  1 sessions  2 events  3 summaries
-- ARGV  1 session field, where trpc-agent-go's summaries stand too  2… summary fields
-- Gives {record, trpc-agent-go's summaries or '', summary or ''…}; {} if there is no session.
--#include _record

local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record or is_dead(record, KEYS[2]) then return {} end
local found = {record}
for i = 1, #ARGV do found[i + 1] = redis.call('HGET', KEYS[3], ARGV[i]) or '' end
return found
