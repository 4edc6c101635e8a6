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

-- The scores of the system messages that it covers and does not stand for, parted by spaces.
local function system_scores_of(value)
  if not value or not is_ours(value) then return '' end
  return string.match(value, '"system_scores":"([%d.e+ -]+)","cutoff_score":"[%d.e+-]+"}}$') or ''
end

-- The end of the one that goes further, of two summaries that may not be there.
local function further_of(cutoff, other)
  if cutoff and other then return tonumber(other) > tonumber(cutoff) and other or cutoff end
  return cutoff or other
end

-- The filter key of a summary field of ours.
local function filter_key_of(field)
  return string.match(field, '^[^:]*:(.*)$')
end

-- The score of the event with an id, as text; nil if it is not found. It stands at the score of
-- its time or, where that was taken, above; mostly right there or near the newest, so that both
-- ends are searched, and not for ever.
local function find_score(events_key, id, time)
  local mark, seen, step, bytes = '"id":"' .. id .. '"', 0, 1, 0
  local function search(entries)
    for i = 1, #entries, 2 do
      local entry = entries[i]
      bytes = bytes + #entry
      if string.find(entry, mark, 1, true) then  -- perhaps the id of something inside
        local is_json, event = pcall(cjson.decode, entry)
        if is_json and type(event) == 'table' and event.id == id then return entries[i + 1] end
      end
    end
  end
  while seen < 250 and bytes < 1000000 do
    local oldest = redis.call('ZRANGEBYSCORE', events_key, time, '+inf', 'WITHSCORES',
      'LIMIT', seen, step)
    local newest = redis.call('ZREVRANGEBYSCORE', events_key, '+inf', time, 'WITHSCORES',
      'LIMIT', seen, step)
    local score = search(oldest) or search(newest)
    if score or #oldest < 2 * step then return score end
    seen, step = seen + step, math.min(4 * step, 128)
  end
  return nil
end

-- trpc-agent-go's summaries of a session, by filter key.
local function read_foreign(value)
  if (value or '') == '' then return {} end
  local is_json, found = pcall(cjson.decode, value)
  return is_json and type(found) == 'table' and found or {}
end

-- The score of the last event that one of these covers, as text; nil if it can't be read. The
-- event's id decides; where that event is gone, its time.
local function foreign_cutoff(summary, events_key)
  local function text_of(owner, name)
    local value = type(owner) == 'table' and owner[name]
    return type(value) == 'string' and value ~= '' and value or nil
  end
  local boundary = text_of(summary, 'summary') and summary.boundary
  local time = text_of(boundary, 'cutoff_at') or text_of(summary, 'updated_at')
  local seconds, nanoseconds = parse_time(time or '')
  if not seconds or not text_of(summary, 'summary') then return nil end
  -- As the double nearest to it: what is multiplied is exact.
  local score = string.format('%.17g', seconds * 1000000000 + nanoseconds)
  local id = text_of(boundary, 'last_event_id')
  return id and find_score(events_key, id, score) or score
end

-- The field that names the filter keys which a session has summaries for: without it, all of the
-- user's fields would have to be looked through. `start` is that of the session's fields.
local function index_field_of(start)
  return ':' .. string.sub(start, 1, -2)
end

-- These filter keys, each written as its length, a colon and itself; nil for another program's
-- value.
local function read_index(value)
  local found, place = {}, 1
  while place <= #value do
    local _, last, length = string.find(value, '^(%d+):', place)
    if not last or last + length > #value then return nil end
    found[#found + 1] = string.sub(value, last + 1, last + length)
    place = last + length + 1
  end
  return found
end

-- The fields that a session's summaries of ours may stand at.
local function summary_fields_of(key, start)
  local fields = {start}
  local index = redis.call('HGET', key, index_field_of(start)) or ''
  for _, filter_key in ipairs(read_index(index) or {}) do
    fields[#fields + 1] = start .. filter_key
  end
  return fields
end

-- Note that there is a summary at a field; gives the field of the index, nil where none is needed.
local function index_summary(key, field)
  local filter_key = filter_key_of(field)
  if filter_key == '' then return nil end
  local index_field = index_field_of(string.sub(field, 1, #field - #filter_key))
  local value = redis.call('HGET', key, index_field) or ''
  local known = read_index(value)
  if not known then return nil end
  for _, name in ipairs(known) do
    if name == filter_key then return index_field end
  end
  redis.call('HSET', key, index_field, value .. #filter_key .. ':' .. filter_key)
  return index_field
end

-- After events were removed at the end of a session: let no summary go further than what is left
-- (top: its highest score), as what is appended next may be older than what went. Gives the
-- fields whose lifetime starts anew with that.
local function retract_summaries(key, start, top)
  local changed = {}
  for _, field in ipairs(summary_fields_of(key, start)) do
    local value = redis.call('HGET', key, field)
    local cutoff = cutoff_of(value)
    if cutoff and tonumber(cutoff) > tonumber(top) then
      redis.call('HSET', key, field, string.sub(value, 1, -#cutoff - 4) .. top .. '"}}')
      changed[#changed + 1] = field
    end
  end
  if #changed > 0 then changed[#changed + 1] = index_field_of(start) end
  return changed
end

local function delete_summaries(key, session_field, start)
  for _, field in ipairs(summary_fields_of(key, start)) do
    if is_ours(redis.call('HGET', key, field) or '') then redis.call('HDEL', key, field) end
  end
  local index_field = index_field_of(start)
  if read_index(redis.call('HGET', key, index_field) or '') then
    redis.call('HDEL', key, index_field)
  end
  if not is_ours(redis.call('HGET', key, session_field) or '') then
    redis.call('HDEL', key, session_field)
  end
end
