-- Find the entries of events by their ids, from the newest on, a part of a session at a time.
--
-- KEYS  events_key
-- ARGV  highest  the score to begin at
--       skip     how many entries at that score to pass over
--       most     how many entries to look at (fewer where they are long)
--       …        the ids, as they stand in an event: "id":"x"
-- Gives {'OK', {entry, score}…, next highest, next skip} with those that begin with one of the
--       ids, and those that don't begin with a plain one and have one somewhere, at which the
--       caller looks closer. The next highest is '' at the session's end, and where each id
--       begins an entry that was found.
local events_key = unpack(KEYS)
local highest, skip, most = unpack(ARGV, 1, 3)

local MOST_BYTES = 1000000
local wanted, missing = {}, 0
for cursor = 4, #ARGV do
  wanted[ARGV[cursor]], missing = true, missing + 1
end
local function holds_one(entry)
  for text in pairs(wanted) do
    if string.find(entry, text, 1, true) then return true end
  end
end
local found, looked, bytes, step = {}, 0, 0, 4
local offset, last, seen_of_last = tonumber(skip), highest, tonumber(skip)
while missing > 0 do
  step = math.min(step, tonumber(most) - looked)
  local entries = redis.call('ZREVRANGEBYSCORE', events_key, highest, '-inf', 'WITHSCORES',
    'LIMIT', offset + looked, step)
  for i = 1, #entries, 2 do
    local entry, score = entries[i], entries[i + 1]
    looked, bytes = looked + 1, bytes + #entry
    seen_of_last = score == last and seen_of_last + 1 or 1
    last = score
    local head = string.match(entry, '^{("id":"[^"\\]*")')
    if wanted[head] or not head and holds_one(entry) then
      found[#found + 1] = entry
      found[#found + 1] = score
      if wanted[head] then wanted[head], missing = nil, missing - 1 end
    end
  end
  if #entries < 2 * step then
    last, missing = '', 0
  elseif missing == 0 then
    last = ''
  elseif looked >= tonumber(most) or bytes > MOST_BYTES then
    break
  end
  step = math.min(step * 4, math.ceil((MOST_BYTES - bytes + 1) * looked / (bytes + 1)))
end
return {'OK', found, last, seen_of_last}
