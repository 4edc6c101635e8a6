-- Shared: the summaries of one session in the hash that a user's sessions share.
--
-- Ours are at 'session:filterKey' (session escaped), trpc-agent-go's at the session's id.
-- Its ids are not escaped, so a field can look like ours: the value tells them apart.

local function is_ours(value)
  return string.sub(value, 1, 12) == '{"summary":"'
end

-- The score of the last event that a summary covers, as text; nil if it is none of ours.
local function cutoff_of(value)
  if not value or not is_ours(value) then return nil end
  local cutoff = string.match(value, '"cutoff_score":"([%d.e+-]+)"}}$')
  return tonumber(cutoff or '') and cutoff
end

-- After events were removed at the end of a session: let no summary go further than what is left
-- (top: its highest score), as what is appended next may be older than what went. Gives the
-- fields of summaries that start with `start` and were changed.
local function retract_summaries(key, start, top)
  local changed = {}
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local value = string.sub(field, 1, #start) == start and redis.call('HGET', key, field)
    local cutoff = cutoff_of(value)
    if cutoff and tonumber(cutoff) > tonumber(top) then
      redis.call('HSET', key, field, string.sub(value, 1, -#cutoff - 4) .. top .. '"}}')
      changed[#changed + 1] = field
    end
  end
  return changed
end

local function delete_summaries(key, session_field, start)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local looks_ours = string.sub(field, 1, #start) == start
    if looks_ours or field == session_field then
      local value = redis.call('HGET', key, field)
      if looks_ours == is_ours(value) then redis.call('HDEL', key, field) end
    end
  end
end
