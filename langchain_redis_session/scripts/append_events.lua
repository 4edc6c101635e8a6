-- Append events to a session, with their changes of state; all or nothing.
--
-- KEYS  1 sessions  2 events  3 message index  4 track index  5 summaries  6 user state
--       7 app state (absent where it lives in another slot)
-- ARGV  1 session field  2 '1' may create, 'new' only create, '' neither
--       3 the record's start for a new session, up to its state
--       4 event limit (0 none)  5 session TTL ms (0 never)  6 '1' try TTL per field
--       7 '1' leave out message ids that are stored
--       8 '1' count what the session's summary does not cover
--       9 count, summary fields…   those whose lifetime starts anew; first the session's own
--       count, {score, member, message id or ''}…   the events
--       then, absent where state and message index have no part in it:
--             '1' the session's own state changes, expected core, its replacement ('' =
--             not known yet),
--             positions the state change was made for ("1,2"; '' = it changes nothing),
--             user state TTL ms, count, {name, value}…
--             app state TTL ms, count, {name, value}…
--             count, top score, {id, score}…   the message index, read by the caller at
--                                              that count and top
-- Gives {'OK', removed, TTL per field or -1, fates, scores, how many of the removed no summary
-- covered, how many events none covers or -1}, or, nothing written:
--   {'MISSING'}        no session, and it may not be created
--   {'EXISTS'}         a session, and it was only to be created
--   {'PURGE'}          remains of an expired session must go first
--   {'INDEX'}          the message index must be read from the events first
--   {'FATES', fates}   the state change was made for other events than are fresh
--   {'STATE', record}  the record is not the expected one
--#include _record
--#include _sequence
--#include _summaries

local last_field = 9 + tonumber(ARGV[9])
local summary_fields = {}
for i = 10, last_field do summary_fields[#summary_fields + 1] = ARGV[i] end
local position = last_field + 1 + 3 * tonumber(ARGV[last_field + 1])
local function shift()
  position = position + 1
  return ARGV[position]
end
local function shift_pairs()
  local list = {}
  for i = 1, tonumber(shift() or 0) * 2 do list[i] = shift() end
  return list
end

local sessions_key, events_key, index_key, tracks_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local summaries_key = KEYS[5]
local limit, ttl_ms, once = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[7] == '1'
local wanted, members, ids = {}, {}, {}
for i = last_field + 2, position, 3 do
  wanted[#wanted + 1], members[#members + 1], ids[#ids + 1] = ARGV[i], ARGV[i + 1], ARGV[i + 2]
end
local changes_state, expected, replacement, made_for = shift() == '1', shift(), shift(), shift()
local user_ttl_ms, user_state = shift(), shift_pairs()
local app_ttl_ms, app_state = shift(), shift_pairs()
local index_size, index_top = shift(), shift()

-- Reads come first, so that a key of the wrong type changes nothing.
local record = redis.call('HGET', sessions_key, ARGV[1])
local size = redis.call('ZCARD', events_key)
local has_index = redis.call('ZCARD', index_key) > 0
if #user_state > 0 then redis.call('HLEN', KEYS[6]) end
if #app_state > 0 then redis.call('HLEN', KEYS[7]) end
local cutoff = ARGV[8] == '1' and cutoff_of(redis.call('HGET', summaries_key, summary_fields[1]))

local fates, scores, top = sort_out(events_key, members, wanted, limit, size)

if once then
  if not has_index and size > 0 and (size ~= tonumber(index_size)
      or tonumber(top_score(events_key)) ~= tonumber(index_top)) then
    return {'INDEX'}
  end
  local known, sent_before, last_known = {}, {}, 0
  for i = position + 1, #ARGV, 2 do known[ARGV[i]] = true end
  for i = 1, #ids do
    if fates[i] == FRESH and ids[i] ~= '' then
      if known[ids[i]] or has_index and redis.call('ZSCORE', index_key, ids[i]) then
        fates[i], last_known = REPEATED, i
      elseif sent_before[ids[i]] then
        fates[i] = REPEATED
      end
      sent_before[ids[i]] = true
    end
  end
  -- Removed by retention, as in sort_out: a whole history that is sent each time must not
  -- come again.
  for i = 1, limit > 0 and size >= limit and last_known or 0 do
    if fates[i] == FRESH and ids[i] ~= '' then fates[i] = REMOVED end
  end
end

local fresh = {}
for i = 1, #fates do
  if fates[i] == FRESH then fresh[#fresh + 1] = i end
end
if #members > 0 and #fresh == 0 then
  require_primary(sessions_key)
  return {'OK', 0, -1, fates, scores, 0, -1}
end

local core, expires, foreign
if record then
  core, expires = split_record(record)
  foreign = core == nil
  if is_past(expires) and size == 0 then return {'PURGE'} end
  if ARGV[2] == 'new' then
    require_primary(sessions_key)
    return {'EXISTS'}
  end
elseif ARGV[2] == '' then
  require_primary(sessions_key)
  return {'MISSING'}
elseif redis.call('EXISTS', tracks_key) == 1 then
  return {'PURGE'}
end
if (made_for or '') ~= '' and made_for ~= table.concat(fresh, ',') then
  return {'FATES', fates}
end
local updated = format_now()
if not record then
  core = ARGV[3] .. ',"createdAt":"' .. updated .. '"'
elseif foreign or changes_state then
  if replacement == '' or (core or record) ~= expected then return {'STATE', record} end
  core = replacement
end

append_fresh(events_key, members, wanted, fates, scores, top)
local uncovered = -1
if ARGV[8] == '1' then
  uncovered = cutoff and redis.call('ZCOUNT', events_key, '(' .. cutoff, '+inf') or size + #fresh
end
local removed = apply_limit(events_key, limit, size + #fresh)
local lost = math.max(0, uncovered - (size + #fresh - removed))
local keeps_index = has_index or once
if keeps_index then
  if not has_index then
    for i = position + 1, #ARGV, 2 do redis.call('ZADD', index_key, ARGV[i + 1], ARGV[i]) end
  end
  for _, i in ipairs(fresh) do
    if ids[i] ~= '' then redis.call('ZADD', index_key, scores[i], ids[i]) end
  end
  if removed > 0 then
    local oldest = redis.call('ZRANGE', events_key, 0, 0, 'WITHSCORES')
    redis.call('ZREMRANGEBYSCORE', index_key, '-inf', '(' .. oldest[2])
  end
end
set_fields(KEYS[6], user_state, tonumber(user_ttl_ms))
set_fields(KEYS[7], app_state, tonumber(app_ttl_ms))
local field_ttl = save_record(sessions_key, ARGV[1], core, updated, ttl_ms, ARGV[6])
touch_keys(events_key, keeps_index and index_key, tracks_key, ttl_ms)
touch_summaries(summaries_key, summary_fields, ttl_ms, ARGV[6])
return {'OK', removed, field_ttl, fates, scores, lost, uncovered - lost}
