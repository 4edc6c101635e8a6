-- Shared: the summaries of one session in the hash that a user's sessions share.

-- Ours are at 'session:filterKey' (session escaped), trpc-agent-go's at the session's id.
-- Its ids are not escaped, so a field can look like ours: the value tells them apart.
local function delete_summaries(key, session_field, summary_field)
  local start = summary_field .. ':'
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local is_ours = string.sub(field, 1, #start) == start
    if is_ours or field == session_field then
      local value = redis.call('HGET', key, field)
      local looks_ours = string.sub(value, 1, 12) == '{"summary":"'
      if is_ours == looks_ours then redis.call('HDEL', key, field) end
    end
  end
end
