-- List a user's sessions without reading what they hold.
--
-- KEYS  sessions_key
-- ARGV  session_ttl_ms  0 = never
-- Gives {'OK', now in ms, {session id, updatedAt, expiry in ms or '', foreign record or ''}…}.
local sessions_key = unpack(KEYS)
local session_ttl_ms = unpack(ARGV)
--#include _record

local listed = {}
local all = redis.call('HGETALL', sessions_key)
for i = 1, #all, 2 do
  local core, _, updated = split_record(all[i + 1])
  local expires = expiry_of(all[i + 1], tonumber(session_ttl_ms))
  listed[#listed + 1] = {all[i], updated or '', expires and string.format('%.0f', expires) or '',
    core and '' or all[i + 1]}
end
return {'OK', string.format('%.0f', now_ms), listed}
