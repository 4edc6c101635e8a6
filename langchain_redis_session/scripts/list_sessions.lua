-- List a user's sessions without reading what they hold.
--
-- KEYS  sessions_key
-- ARGV
-- Gives {'OK', now in ms, {session id, updatedAt, expiry in ms or '', foreign record or ''}…}.
local sessions_key = unpack(KEYS)
--#include _record

local listed = {}
local all = redis.call('HGETALL', sessions_key)
for i = 1, #all, 2 do
  local core, expires, updated = split_record(all[i + 1])
  listed[#listed + 1] = {all[i], updated or '', expires and string.format('%.0f', expires) or '',
    core and '' or all[i + 1]}
end
return {'OK', string.format('%.0f', now_ms), listed}
