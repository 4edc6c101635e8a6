-- Find the entries that hold a text (an event's id), newest first.
--
-- KEYS  events_key
-- ARGV  text
--       step   how many entries to look at in a step
-- Gives {'OK', {entry, score}…} with every entry that holds it; the caller looks closer.
local events_key = unpack(KEYS)
local text, step = unpack(ARGV)

local found, size = {}, tonumber(step)
for start = 0, redis.call('ZCARD', events_key) - 1, size do
  local entries = redis.call('ZREVRANGE', events_key, start, start + size - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    if string.find(entries[i], text, 1, true) then
      found[#found + 1] = entries[i]
      found[#found + 1] = entries[i + 1]
    end
  end
end
return {'OK', found}
