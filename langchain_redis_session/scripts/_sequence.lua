-- Shared: entries of a sorted set that keep the order they were appended in.

local FRESH, STORED, REPEATED, REMOVED = 1, 2, 3, 4

local function top_score(key)
  return redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')[2]
end

-- Whether nothing stands at the lowest of these scores or above. Nothing is stored below the
-- score that is wanted for it, so none of what wants these can be stored then.
local function are_beyond(key, wanted)
  local lowest = wanted[1]
  for i = 2, #wanted do
    if wanted[i] ~= lowest and tonumber(wanted[i]) < tonumber(lowest) then lowest = wanted[i] end
  end
  return redis.call('ZCOUNT', key, lowest, '+inf') == 0
end

-- Tell for each member whether it is to be appended. What is sent again, in whatever
-- grouping, stands once: before the last member that is already stored, one that is not
-- was removed by retention if the set is at its limit; what one call holds twice counts the
-- first time. Gives their fates, their scores ('' where there is none), and the highest score
-- if what is fresh may have to rise above it.
local function sort_out(key, members, wanted, limit, size)
  local fates, scores, last_stored, seen = {}, {}, 0, {}
  for i = 1, #members do
    fates[i], scores[i] = seen[members[i]] and REPEATED or FRESH, ''
    seen[members[i]] = true
  end
  if size == 0 or #members == 0 or are_beyond(key, wanted) then return fates, scores, nil end
  for i = 1, #members do
    local score = redis.call('ZSCORE', key, members[i])
    if score then fates[i], scores[i], last_stored = STORED, score, i end
  end
  if limit > 0 and size >= limit then
    for i = 1, last_stored do
      if fates[i] == FRESH then fates[i] = REMOVED end
    end
  end
  return fates, scores, top_score(key)
end

-- Store the fresh members, each at the score it wants or at the next double above the highest
-- (equal scores would sort by text), and fill in their scores.
local function append_fresh(key, members, wanted, fates, scores, top)
  local highest, batch = top and tonumber(top), {}
  for i = 1, #members do
    if fates[i] == FRESH then
      local score, number = wanted[i], tonumber(wanted[i])
      if highest and number <= highest then
        local _, exponent = math.frexp(highest)
        number = highest + math.ldexp(1, exponent - 53)
        score = string.format('%.17g', number)
      end
      highest, scores[i] = number, score
      batch[#batch + 1] = score
      batch[#batch + 1] = members[i]
      if #batch == 1000 then
        redis.call('ZADD', key, unpack(batch))
        batch = {}
      end
    end
  end
  if #batch > 0 then redis.call('ZADD', key, unpack(batch)) end
end

-- Remove the oldest above the limit (0 = none); gives how many. A large cut, by a limit that is
-- new, is spread over several appends.
local MOST_CUT = 1000
local function apply_limit(key, limit, size, fresh)
  if limit == 0 or size <= limit then return 0 end
  return redis.call('ZREMRANGEBYRANK', key, 0, math.min(size - limit, fresh + MOST_CUT) - 1)
end
