-- Whether a namespace of a memory store has an item that is not past its time.
--
-- KEYS  items_key
-- Gives {'OK', 1 or 0}.
local items_key = unpack(KEYS)
--#include _clock
--#include _record
--#include _items

local place = '0'
repeat
  local page = redis.call('HSCAN', items_key, place, 'COUNT', 20)
  place = page[1]
  for i = 2, #page[2], 2 do
    if not is_over(page[2][i]) then return {'OK', 1} end
  end
until place == '0'
return {'OK', 0}
