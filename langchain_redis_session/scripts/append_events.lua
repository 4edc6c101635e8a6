-- Append events to a session, with their changes of state; all or nothing.
--
-- KEYS  sessions_key, events_key, index_key, tracks_key, summaries_key
--       user_state_key      absent, as those behind it, where neither state nor usage is changed
--       app_state_key       absent where it lives in another slot; any key where others follow
--       usage_key, session_usage_key  absent where usage is not tracked
-- ARGV  session_field
--       flags               any of, in this order: 's' it may be the usual case (the scores rise,
--                           no event stands there twice, nothing follows them, and of the flags
--                           only 't' and 'c'), 't' try TTLs per field, 'c' create the session where
--                           there is none, 'n' likewise, and else write nothing, 'o' leave out
--                           messages whose id is stored, 'u' count what the session's summary does
--                           not cover
--       record_start        a new session's record, up to its event limit
--       event_limit         0 = none; '' = as the session's record says
--       session_ttl_ms      0 = never
--       summary_field       the session's summary, whose lifetime starts anew
--       first_us            the time of a new session's first event in µs since 1970 ('' = it
--                           gets none)
--       event_count
--       …                   {score, member} of each event; the message id of each, '' where
--                           it has none; then, absent where they have no part in it:
--                             count, the fields of further summaries whose lifetime starts anew
--                             count, {position of its event, date, field, number} of what models
--                             used
--                             the build of the message index that the caller has brought to an end
--                             '1' if the session's own state changes, the expected core, its
--                             replacement ('' = not known yet)
--                             the positions the state change was made for ("1,2"; '' = it
--                             changes nothing)
--                             user state TTL ms, count, {name, value}…
--                             app state TTL ms, count, {name, value}…
-- Gives {'OK', removed, TTL per field, limit, fates, scores, lost, unsummarized}: how many events
--       retention removed; the limit that holds; how many of the removed no summary covered;
--       unsummarized is '' where it was not counted. In the usual case only how many were removed,
--       a number: the events are fresh, each at the score that it wants. From -1 down it is that
--       of -1 - removed: the server turned out to have no TTLs per field.
--       Or, nothing written:
--       {'MISSING'}        no session, not even events, and it may not be created
--       {'EXISTS'}         a session, and it was only to be created
--       {'PURGE'}          remains of an expired session must go first
--       {'INDEX'}          the message index must be built from the events first
--       {'FATES', fates}   the state change was made for other events than are fresh
--       {'STATE', record}  the record is not the expected one
local sessions_key, events_key, index_key, tracks_key, summaries_key, user_state_key,
  app_state_key, usage_key, session_usage_key = unpack(KEYS)
local session_field, flags, record_start, event_limit, session_ttl_ms, summary_field, first_us,
  event_count = unpack(ARGV, 1, 8)
local ttl_ms = tonumber(session_ttl_ms)
local cursor = 8
--#include _clock
--#include _usual_append

--#include _record
--#include _sequence
--#include _summaries
--#include _message_index

local function shift()
  cursor = cursor + 1
  return ARGV[cursor]
end
local function shift_list(size)
  local list = {}
  for i = 1, tonumber(shift() or 0) * size do list[i] = shift() end
  return list
end
local function has(flag) return string.find(flags, flag, 1, true) ~= nil end
local once, counts, try_field_ttl = has('o'), has('u'), has('t') and '1' or '0'
local wanted, members, ids = {}, {}, {}
for i = 1, tonumber(event_count) do wanted[i], members[i] = shift(), shift() end
for i = 1, #members do ids[i] = shift() end
local summary_fields = shift_list(1)
table.insert(summary_fields, 1, summary_field)
local usage_count = tonumber(shift() or 0)
local uses_at = cursor
cursor = cursor + 4 * usage_count
local index_build = shift()
local changes_state, expected, replacement, made_for = shift() == '1', shift(), shift(), shift()
local user_ttl_ms, user_state = tonumber(shift()), shift_list(2)
local app_ttl_ms, app_state = tonumber(shift()), shift_list(2)

-- Reads come first, so that a key of the wrong type changes nothing.
local record = redis.call('HGET', sessions_key, session_field)
local size = redis.call('ZCARD', events_key)
local has_index = redis.call('ZCARD', index_key) > 0
if #user_state > 0 then redis.call('HLEN', user_state_key) end
if #app_state > 0 then redis.call('HLEN', app_state_key) end
if usage_key then
  redis.call('HLEN', usage_key)
  redis.call('HLEN', session_usage_key)
end
local cutoff
if counts then
  local theirs = read_foreign(redis.call('HGET', summaries_key, session_field))['']
  cutoff = further_of(cutoff_of(redis.call('HGET', summaries_key, summary_fields[1])),
    foreign_cutoff(theirs, events_key))
end

local core = record and split_record(record)
-- Its record was evicted, or lost: nobody knows what limit the session had.
local is_evicted = not record and size > 0
if is_evicted and event_limit == '' then
  record_start = string.gsub(record_start, '"eventLimit":%d+$', '"eventLimit":0')
end
local limit = tonumber(event_limit)
if not limit then
  limit = record and event_limit_of(core or '')
    or not record and tonumber(string.match(record_start, '"eventLimit":(%d+)$')) or 0
end

local fates, scores, top = sort_out(events_key, members, wanted, limit, size)

local build
if once then
  build = find_build(index_key)
  if size > 0 and (not has_index or build and build ~= index_build) then return {'INDEX'} end
  local sent_before, last_known = {}, 0
  for i = 1, #ids do
    if fates[i] == FRESH and ids[i] ~= '' then
      if has_index and is_indexed(index_key, events_key, ids[i]) then
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
  if build then redis.call('ZREM', index_key, build) end
  require_primary(sessions_key)
  return {'OK', 0, '', limit, fates, scores, 0, ''}
end

local foreign = record and core == nil
if record then
  if is_dead(record, events_key, ttl_ms) then return {'PURGE'} end
  if has('n') then
    require_primary(sessions_key)
    return {'EXISTS'}
  end
elseif is_evicted then
  if have_expired(events_key, ttl_ms) then return {'PURGE'} end
elseif not (has('c') or has('n')) then
  require_primary(sessions_key)
  return {'MISSING'}
elseif redis.call('EXISTS', tracks_key) == 1 then
  return {'PURGE'}
end
if (made_for or '') ~= '' and made_for ~= table.concat(fresh, ',') then
  return {'FATES', fates}
end
-- trpc-agent-go's service leaves our summaries behind when it deletes a session; with a clock
-- behind, a new one of that id could look older than they are.
local leftovers = {}
for i = 1, not record and size == 0 and #summary_fields or 0 do
  if is_ours(redis.call('HGET', summaries_key, summary_fields[i]) or '') then
    leftovers[#leftovers + 1] = summary_fields[i]
    cutoff = nil
  end
end
local updated = format_time(now_us)
if not record then
  -- No later than its first event, be that one whose record was evicted: its score may be
  -- rounded up.
  local oldest = redis.call('ZRANGE', events_key, 0, 0, 'WITHSCORES')[2]
  local created_us = math.min(now_us, tonumber(first_us) or now_us,
    oldest and math.floor(tonumber(oldest) / 1000) - 1 or now_us)
  core = record_start .. ',"createdAt":"' .. trim_time(format_time(created_us)) .. '"'
elseif foreign or changes_state then
  if replacement == '' or (core or record) ~= expected then return {'STATE', record} end
  core = replacement
end

append_fresh(events_key, members, wanted, fates, scores, top)
local unsummarized = size + #fresh
if cutoff then unsummarized = redis.call('ZCOUNT', events_key, '(' .. cutoff, '+inf') end
local removed = apply_limit(events_key, limit, size + #fresh, #fresh)
local lost = counts and math.max(0, unsummarized - (size + #fresh - removed)) or 0
local keeps_index = has_index or once
if keeps_index then
  for _, i in ipairs(fresh) do
    if ids[i] ~= '' then index_message(index_key, ids[i], scores[i]) end
  end
  if build then redis.call('ZREM', index_key, build) end
  if removed > 0 then
    local oldest = redis.call('ZRANGE', events_key, 0, 0, 'WITHSCORES')
    redis.call('ZREMRANGEBYSCORE', index_key, '-inf', '(' .. oldest[2])
  end
end
for _, field in ipairs(leftovers) do redis.call('HDEL', summaries_key, field) end
cursor = uses_at
for i = 1, usage_count do
  if fates[tonumber(ARGV[cursor + 1])] == FRESH then
    local date, field, number = ARGV[cursor + 2], ARGV[cursor + 3], ARGV[cursor + 4]
    -- Too large a sum, or a value of another program, is no reason to fail half-way.
    redis.pcall('HINCRBY', usage_key, date .. ':' .. field, number)
    redis.pcall('HINCRBY', session_usage_key, field, number)
  end
  cursor = cursor + 4
end
set_fields(user_state_key, user_state, user_ttl_ms)
set_fields(app_state_key, app_state, app_ttl_ms)
local field_ttl = save_record(sessions_key, session_field, core, updated, ttl_ms, try_field_ttl)
touch_keys(events_key, keeps_index and index_key, tracks_key, ttl_ms)
if usage_key then set_ttl(session_usage_key, ttl_ms) end
touch_summaries(summaries_key, summary_fields, ttl_ms, try_field_ttl)
unsummarized = counts and unsummarized - lost or ''
return {'OK', removed, field_ttl, limit, fates, scores, lost, unsummarized}
