-- Shared: a session's record, the JSON in the hash of sessions, and lifetimes.
--
-- A record reads  core [,"expiresAtMs":N] ,"updatedAt":"…"}  where core is opaque to
-- scripts (decoding and encoding user data in Lua would change it).

-- Any RFC 3339 time as seconds since 1970 and nanoseconds; nil for anything else.
local function parse_time(text)
  local year, month, day, hour, minute, second, fraction, sign, hours, minutes = string.match(text,
    '^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ](%d%d):(%d%d):(%d%d)%.?(%d*)([Zz+-])(%d*):?(%d*)$')
  if not year then return nil end
  year, month = tonumber(year), tonumber(month)
  if month <= 2 then year, month = year - 1, month + 12 end
  local days = 365 * year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
    + math.floor((153 * (month - 3) + 2) / 5) + tonumber(day) - 1 - 719468
  local offset = (tonumber(hours) or 0) * 3600 + (tonumber(minutes) or 0) * 60
  local seconds = days * 86400 + tonumber(hour) * 3600 + tonumber(minute) * 60 + tonumber(second)
    + (sign == '-' and offset or -offset)
  return seconds, tonumber(string.sub(fraction .. '000000000', 1, 9))
end

-- Everything that scripts look for stands here: a look through all of a record would take its
-- whole state. As `TAIL_BYTES` in _codec/session_record.py.
local TAIL_BYTES = 256

-- The end of the core, its length, expiry in ms or nil, updatedAt; nothing for a record that ends
-- otherwise (foreign).
local function read_tail(record)
  local tail = string.sub(record, -TAIL_BYTES)
  local head, updated = string.match(tail, '^(.*),"updatedAt":"([^"]*)"}$')
  if not head then return nil end
  local core, expires = string.match(head, '^(.*),"expiresAtMs":(%d+)$')
  core = core or head
  return core, #record - #tail + #core, tonumber(expires), updated
end

-- core, expiry in ms or nil, updatedAt; nothing for a foreign record.
local function split_record(record)
  local _, size, expires, updated = read_tail(record)
  if not size then return nil end
  return string.sub(record, 1, size), expires, updated
end

-- What a pattern that begins with ^.* finds, which is the last one.
local function find_last(record, pattern)
  return string.match(string.sub(record, -TAIL_BYTES), pattern) or string.match(record, pattern)
end

-- The most events of a session, 0 = none, as the end of its core says; nothing where it doesn't
-- (trpc-agent-go's records).
local function event_limit_of(core)
  return tonumber(string.match(string.sub(core, -100), '"eventLimit":(%d+),"createdAt":"[^"]*"$'))
end

-- When a session is over, in ms; nil: never. A service with a TTL judges a record that says
-- nothing by its last write: trpc-agent-go drops what it doesn't know when it writes a record of
-- ours anew. Not where there is an event limit, which it would have dropped too.
local function expiry_of(record, ttl_ms)
  local core, _, expires, updated = read_tail(record)
  if expires or ttl_ms == 0 then return expires end
  if core and event_limit_of(core) then return nil end
  updated = updated or find_last(record, '^.*"updatedAt"%s*:%s*"([^"]*)"') or ''
  local seconds, nanoseconds = parse_time(updated)
  return seconds and seconds * 1000 + math.floor(nanoseconds / 1000000) + ttl_ms
end

-- A time as trpc-agent-go writes it: the fraction without trailing zeros.
local function trim_time(text)
  local moment, fraction, zone = string.match(text, '^([^.]*)%.(%d-)0*([Zz+-].*)$')
  if not moment then return text end
  return moment .. (fraction == '' and '' or '.' .. fraction) .. zone
end

-- Whether a record is of the session that was made at a time, and not of a later one of its id.
-- trpc-agent-go writes records of ours anew, where that time may have lost zeros at its end.
local function is_made_at(record, created)
  return trim_time(find_last(record, '^.*"createdAt":"([^"]*)"') or '') == trim_time(created)
end

-- Past its time. While a session has events, their key's own TTL decides.
local function is_dead(record, events_key, ttl_ms)
  local expires = expiry_of(record, ttl_ms)
  return expires ~= nil and expires <= now_ms and redis.call('EXISTS', events_key) == 0
end

-- Whether events whose record was evicted are over: all are older than the session's TTL.
local function have_expired(events_key, ttl_ms)
  local newest = redis.call('ZREVRANGE', events_key, 0, 0, 'WITHSCORES')[2]
  return newest and ttl_ms > 0 and tonumber(newest) / 1000000 + ttl_ms <= now_ms
end

-- Before a reply that nothing had to be written for: a replica must not give it. After a
-- failover it may lack a session, or have an event, that the new primary has, or lacks.
local function require_primary(sessions_key)
  redis.call('HDEL', sessions_key, '')  -- a write, of a field that never is
end

-- A key that sessions share: its TTL only ever grows, else one would take others along.
local function lengthen_ttl(key, existed, ttl_ms)
  if ttl_ms == 0 then
    redis.call('PERSIST', key)
  elseif not existed then
    redis.call('PEXPIRE', key, ttl_ms)
  else
    local left = redis.call('PTTL', key)
    if left >= 0 and left < ttl_ms then redis.call('PEXPIRE', key, ttl_ms) end
  end
end

-- A key that belongs to one session or track.
local function set_ttl(key, ttl_ms)
  if ttl_ms == 0 then
    redis.call('PERSIST', key)
  else
    redis.call('PEXPIRE', key, ttl_ms)
  end
end

-- Write a record and give it its lifetime. try_field_ttl is '1' unless the server is known
-- to lack TTLs per field; gives 1 or 0 for what it turned out to be, '' where not tried.
local function save_record(sessions_key, field, core, updated, ttl_ms, try_field_ttl)
  local ending = ',"updatedAt":"' .. updated .. '"}'
  if ttl_ms == 0 then
    redis.call('HSET', sessions_key, field, core .. ending)
    redis.call('PERSIST', sessions_key)
    return ''
  end
  local expires_at = string.format('%.0f', now_ms + ttl_ms)
  local added = redis.call('HSET', sessions_key, field,
    core .. ',"expiresAtMs":' .. expires_at .. ending)
  lengthen_ttl(sessions_key, added == 0 or redis.call('HLEN', sessions_key) > 1, ttl_ms)
  if try_field_ttl ~= '1' then return '' end
  local reply = redis.pcall('HPEXPIREAT', sessions_key, expires_at, 'FIELDS', 1, field)
  return reply.err and 0 or 1
end

-- The lifetime of everything else that lives as long as the session. A key that isn't there
-- costs nothing; no message index (nil) is for where that is known.
local function touch_keys(events_key, message_index_key, track_index_key, ttl_ms)
  set_ttl(events_key, ttl_ms)
  if message_index_key then set_ttl(message_index_key, ttl_ms) end
  lengthen_ttl(track_index_key, true, ttl_ms)
end

-- The lifetime of a session's summaries; a filter key's starts anew with an append to it.
local function touch_summaries(key, fields, ttl_ms, try_field_ttl)
  if redis.call('EXISTS', key) == 0 then return end
  lengthen_ttl(key, true, ttl_ms)
  for i = 1, try_field_ttl == '1' and #fields or 0 do
    if ttl_ms == 0 then
      redis.pcall('HPERSIST', key, 'FIELDS', 1, fields[i])
    else
      redis.pcall('HPEXPIREAT', key, string.format('%.0f', now_ms + ttl_ms), 'FIELDS', 1, fields[i])
    end
  end
end

local function set_fields(key, pairs_, ttl_ms)
  if #pairs_ == 0 then return end
  local existed = redis.call('EXISTS', key) == 1
  for i = 1, #pairs_, 2 do redis.call('HSET', key, pairs_[i], pairs_[i + 1]) end
  lengthen_ttl(key, existed, ttl_ms)
end
