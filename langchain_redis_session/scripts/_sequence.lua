-- Shared: entries of a sorted set that keep the order they were appended in.

local FRESH, STORED, REPEATED, REMOVED = 1, 2, 3, 4

-- Tell for each member whether it is to be appended. What is sent again, in whatever
-- grouping, stands once: before the last member that is already stored, one that is not
-- was removed by retention if the set is at its limit. Gives their fates and their scores
-- ('' where there is none).
local function sort_out(key, members, limit, size)
  local fates, scores, last_stored = {}, {}, 0
  for i = 1, #members do
    local score = size > 0 and redis.call('ZSCORE', key, members[i])
    if score then
      fates[i], scores[i], last_stored = STORED, score, i
    else
      fates[i], scores[i] = FRESH, ''
    end
  end
  if limit > 0 and size >= limit then
    for i = 1, last_stored do
      if fates[i] == FRESH then fates[i] = REMOVED end
    end
  end
  return fates, scores
end

-- The wanted score, or the next double above the highest one. Equal scores would sort by text.
local function next_score(wanted, top)
  if not top or wanted > top then return wanted end
  local _, exponent = math.frexp(top)
  return top + math.ldexp(1, exponent - 53)
end

local function top_score(key)
  local newest = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  return newest[2] and tonumber(newest[2])
end

-- Remove the oldest above the limit (0 = none); gives how many.
local function apply_limit(key, limit, size)
  if limit == 0 or size <= limit then return 0 end
  return redis.call('ZREMRANGEBYRANK', key, 0, size - limit - 1)
end
