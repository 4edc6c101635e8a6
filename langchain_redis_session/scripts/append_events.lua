-- Append events to a session, with their changes of state; all or nothing.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 user state
--       6 app state (absent where it lives in another slot)
-- ARGV  1 session field  2 '1' may create, 'new' only create, '' neither
--       3 the record's start for a new session, up to its state
--       4 event limit (0 none)  5 session TTL ms  6 user state TTL ms  7 app state TTL ms
--       (0 never)  8 '1' try TTL per field  9 '1' leave out message ids that are stored
--       10 '1' the session's own state changes  11 expected core  12 its replacement
--       13 positions the state change was made for ("1,2"; '' = it changes nothing)
--       then  count, {score, member, message id or ''}…   the events
--             count, {name, value}…                       user state
--             count, {name, value}…                       app state
--             count, top score, {id, score}…              the message index, read by the
--                                                         caller at that count and top
-- Gives {'OK', removed, TTL per field or -1, fates, scores}, or, nothing written:
--   {'MISSING'}        no session, and it may not be created
--   {'EXISTS'}         a session, and it was only to be created
--   {'PURGE'}          remains of an expired session must go first
--   {'INDEX'}          the message index must be read from the events first
--   {'FATES', fates}   the state change was made for other events than are fresh
--   {'STATE', record}  the record is not the expected one
--#include _record
--#include _sequence

local position = 13
local function shift()
  position = position + 1
  return ARGV[position]
end
local function shift_list(width)
  local list = {}
  for i = 1, tonumber(shift()) * width do list[i] = shift() end
  return list
end

local sessions_key, events_key, index_key, tracks_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local limit, ttl_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local sent = shift_list(3)
local user_state, app_state = shift_list(2), shift_list(2)
local index_size, index_top = tonumber(shift()), shift()

-- Reads come first, so that a key of the wrong type changes nothing.
local record = redis.call('HGET', sessions_key, ARGV[1])
local size = redis.call('ZCARD', events_key)
local top = size > 0 and top_score(events_key) or nil
local has_index = redis.call('ZCARD', index_key) > 0
if #user_state > 0 then redis.call('HLEN', KEYS[5]) end
if #app_state > 0 then redis.call('HLEN', KEYS[6]) end

local members, ids, wanted = {}, {}, {}
for i = 1, #sent, 3 do
  wanted[#wanted + 1] = tonumber(sent[i])
  members[#members + 1] = sent[i + 1]
  ids[#ids + 1] = sent[i + 2]
end
local fates, scores = sort_out(events_key, members, limit, size)

if ARGV[9] == '1' then
  if not has_index and size > 0 and (size ~= index_size or top ~= tonumber(index_top)) then
    return {'INDEX'}
  end
  local known = {}
  for i = position + 1, #ARGV, 2 do known[ARGV[i]] = true end
  for i = 1, #ids do
    if fates[i] == FRESH and ids[i] ~= '' then
      if known[ids[i]] or has_index and redis.call('ZSCORE', index_key, ids[i]) then
        fates[i] = REPEATED
      end
      known[ids[i]] = true
    end
  end
end

local fresh = {}
for i = 1, #fates do
  if fates[i] == FRESH then fresh[#fresh + 1] = i end
end
if #members > 0 and #fresh == 0 then return {'OK', 0, -1, fates, scores} end

local core, foreign
if record then
  if is_dead(record, events_key) then return {'PURGE'} end
  if ARGV[2] == 'new' then return {'EXISTS'} end
  core = split_record(record)
  foreign = core == nil
elseif ARGV[2] == '' then
  return {'MISSING'}
elseif redis.call('EXISTS', tracks_key) == 1 then
  return {'PURGE'}
end
if ARGV[13] ~= '' and ARGV[13] ~= table.concat(fresh, ',') then return {'FATES', fates} end
local updated = format_now()
if not record then
  core = ARGV[3] .. ',"createdAt":"' .. updated .. '"'
elseif foreign or ARGV[10] == '1' then
  if (core or record) ~= ARGV[11] then return {'STATE', record} end
  core = ARGV[12]
end

if ARGV[9] == '1' and not has_index then
  for i = position + 1, #ARGV, 2 do redis.call('ZADD', index_key, ARGV[i + 1], ARGV[i]) end
end
for _, i in ipairs(fresh) do
  top = next_score(wanted[i], top)
  scores[i] = string.format('%.17g', top)
  redis.call('ZADD', events_key, scores[i], members[i])
  if ids[i] ~= '' and (has_index or ARGV[9] == '1') then
    redis.call('ZADD', index_key, scores[i], ids[i])
  end
end
local removed = apply_limit(events_key, limit, size + #fresh)
if removed > 0 and (has_index or ARGV[9] == '1') then
  local oldest = redis.call('ZRANGE', events_key, 0, 0, 'WITHSCORES')
  redis.call('ZREMRANGEBYSCORE', index_key, '-inf', '(' .. oldest[2])
end
set_fields(KEYS[5], user_state, tonumber(ARGV[6]))
if KEYS[6] then set_fields(KEYS[6], app_state, tonumber(ARGV[7])) end
local field_ttl = save_record(sessions_key, ARGV[1], core, updated, ttl_ms, ARGV[8])
touch_keys(events_key, index_key, tracks_key, ttl_ms)
return {'OK', removed, field_ttl, fates, scores}
