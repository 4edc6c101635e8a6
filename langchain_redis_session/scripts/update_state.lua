-- Set names in an app's or a user's state.
--
-- KEYS  1 state
-- ARGV  1 TTL ms (0 never)  then {name, value}…
-- Gives how many names were given.
--#include _record

local fields = {}
for i = 2, #ARGV do fields[i - 1] = ARGV[i] end
set_fields(KEYS[1], fields, tonumber(ARGV[1]))
return #fields / 2
