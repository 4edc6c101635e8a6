-- Set names in an app's or a user's state.
--
-- KEYS  state_key
-- ARGV  state_ttl_ms  0 = never
--       …             {name, value}…
-- Gives {'OK'}.
local state_key = unpack(KEYS)
local state_ttl_ms = unpack(ARGV, 1, 1)
--#include _clock
--#include _record

local fields = {}
for cursor = 2, #ARGV do fields[#fields + 1] = ARGV[cursor] end
set_fields(state_key, fields, tonumber(state_ttl_ms))
return {'OK'}
