-- Find the entries that hold a text (an event's id), newest first.
--
-- KEYS  1 events
-- ARGV  1 the text  2 how many entries to look at in a step
-- Gives {entry, score}… for every entry that holds it; the caller looks closer.

local found, step = {}, tonumber(ARGV[2])
for start = 0, redis.call('ZCARD', KEYS[1]) - 1, step do
  local entries = redis.call('ZREVRANGE', KEYS[1], start, start + step - 1, 'WITHSCORES')
  for i = 1, #entries, 2 do
    if string.find(entries[i], ARGV[1], 1, true) then
      found[#found + 1] = entries[i]
      found[#found + 1] = entries[i + 1]
    end
  end
end
return found
