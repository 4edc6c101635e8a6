-- Shared with none: the usual case of append_events, before anything else is set up.
--
-- Events later than those that are there, for a session of ours that has neither message index nor
-- tracks nor summaries. It leaves the bytes that the full way does, and replies with one number;
-- where a case is not usual, nothing is written, and the script goes on behind it. No functions
-- and few patterns: their making would cost as much as the writing.

repeat
  if string.byte(flags) ~= 115 then break end  -- 's': as far as the caller knows, it is usual
  local call = redis.call
  local record = call('HGET', sessions_key, session_field)
  -- Its last text is updatedAt's.
  if not record or string.sub(record, -46, -33) ~= ',"updatedAt":"'
      or string.find(record, '"', -32, true) ~= #record - 1 then
    break
  end
  local _, last = string.find(record, '"eventLimit":', -170, true)
  if not last then break end
  local own_limit, size, expires = string.match(record,
    '^(%d+),"createdAt":"[^"]*"(),"expiresAtMs":(%d+),"up', last + 1)
  if expires then
    if tonumber(expires) <= now_ms or size ~= #record - 73 then break end
  else
    own_limit, size = string.match(record, '^(%d+),"createdAt":"[^"]*"(),"up', last + 1)
    if size ~= #record - 45 then break end
  end
  local limit = tonumber(event_limit ~= '' and event_limit or own_limit)
  local lowest, count = ARGV[cursor + 1], tonumber(event_count)
  -- More than 1,000 are a case for batches: Lua can't unpack 8,000 values.
  if count > 1000 or limit > 0 and count > limit
      or call('EXISTS', index_key, tracks_key, summaries_key) > 0
      or call('ZCOUNT', events_key, lowest, '+inf') > 0 then
    break
  end

  if count == 1 then
    call('ZADD', events_key, lowest, ARGV[cursor + 2])
  else
    call('ZADD', events_key, unpack(ARGV, cursor + 1, cursor + 2 * count))
  end
  local removed = 0
  if limit > 0 then
    local surplus = call('ZCARD', events_key) - limit
    if surplus > 0 then
      if surplus > count + 1000 then surplus = count + 1000 end  -- as MOST_CUT in _sequence
      removed = call('ZREMRANGEBYRANK', events_key, 0, surplus - 1)
    end
  end
  local core = string.sub(record, 1, size - 1)
  local ending = ',"updatedAt":"' .. format_time(now_us) .. '"}'
  if ttl_ms == 0 then
    call('HSET', sessions_key, session_field, core .. ending)
    call('PERSIST', sessions_key)
    call('PERSIST', events_key)
    do return removed end
  end
  local expires_at = string.format('%.0f', now_ms + ttl_ms)
  call('HSET', sessions_key, session_field, core .. ',"expiresAtMs":' .. expires_at .. ending)
  local left = call('PTTL', sessions_key)
  if left >= 0 and left < ttl_ms then call('PEXPIRE', sessions_key, ttl_ms) end
  call('PEXPIRE', events_key, ttl_ms)
  if string.byte(flags, 2) == 116 and redis.pcall('HPEXPIREAT', sessions_key, expires_at,
      'FIELDS', 1, session_field).err then
    removed = -1 - removed
  end
  do return removed end
until true
