-- Shared with none: the usual case of append_events, before anything else is set up.
--
-- Events later than those that are there, for a session of ours that has neither message index nor
-- tracks nor summaries. It leaves the bytes that the full way does.

-- What follows 'OK' in the reply; nothing, and nothing is written, where a case is not usual.
local function append_usually(cursor)
  local count = tonumber(event_count)
  if count < 1 or count > 1000 or #ARGV ~= cursor + 3 * count or usage_key
      or string.find(flags, '[nou]') then
    return nil
  end
  local record = redis.call('HGET', sessions_key, session_field)
  if not record then return nil end
  local expires = string.match(record, '^,"expiresAtMs":(%d+),"updatedAt":"[^"]*"}$', -74)
  if expires and tonumber(expires) <= now_ms
      or not expires and not string.match(record, '^,"updatedAt":"[^"]*"}$', -46) then
    return nil
  end
  local core = string.sub(record, 1, expires and -75 or -47)
  local own_limit = string.match(string.sub(core, -100), '"eventLimit":(%d+),"createdAt":"[^"]*"$')
  if not own_limit or redis.call('EXISTS', index_key, tracks_key, summaries_key) > 0 then
    return nil
  end

  -- As in _sequence.
  local lowest, batch = ARGV[cursor + 1], {ARGV[cursor + 1], ARGV[cursor + 2]}
  if count > 1 then
    local highest, seen = tonumber(lowest), {[batch[2]] = true}
    if highest < 1 then return nil end
    for i = 2, count do
      cursor = cursor + 3
      local score, member = ARGV[cursor + 1], ARGV[cursor + 2]
      local number = tonumber(score)
      if seen[member] or number < tonumber(lowest) then return nil end
      if number <= highest then
        local _, exponent = math.frexp(highest)
        number = highest + math.ldexp(1, exponent - 53)
        score = string.format('%.17g', number)
      end
      highest, seen[member] = number, true
      batch[2 * i - 1], batch[2 * i] = score, member
    end
  end
  if redis.call('ZCOUNT', events_key, lowest, '+inf') > 0 then return nil end

  redis.call('ZADD', events_key, unpack(batch))
  local limit, removed = tonumber(event_limit) or tonumber(own_limit), 0
  local surplus = limit > 0 and redis.call('ZCARD', events_key) - limit or 0
  if surplus > 0 then
    removed = redis.call('ZREMRANGEBYRANK', events_key, 0, math.min(surplus, count + 1000) - 1)
  end
  local ending = ',"updatedAt":"' .. format_now() .. '"}'
  if ttl_ms == 0 then
    redis.call('HSET', sessions_key, session_field, core .. ending)
    redis.call('PERSIST', sessions_key)
    redis.call('PERSIST', events_key)
    return {removed, '', limit}
  end
  local expires_at = string.format('%.0f', now_ms + ttl_ms)
  redis.call('HSET', sessions_key, session_field,
    core .. ',"expiresAtMs":' .. expires_at .. ending)
  local left = redis.call('PTTL', sessions_key)
  if left >= 0 and left < ttl_ms then redis.call('PEXPIRE', sessions_key, ttl_ms) end
  redis.call('PEXPIRE', events_key, ttl_ms)
  local field_ttl = ''
  if string.find(flags, 't', 1, true) then
    local reply = redis.pcall('HPEXPIREAT', sessions_key, expires_at, 'FIELDS', 1, session_field)
    field_ttl = reply.err and 0 or 1
  end
  return {removed, field_ttl, limit}
end
