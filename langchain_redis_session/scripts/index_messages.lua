-- Build the index of the ids of a session's messages, a part at a time: a first call begins, the
-- next ones bring what was read since. An append that names the build then ends it.
--
-- KEYS  events_key, index_key
-- ARGV  build  what the first call gave ('' = this is the first)
--       …      {score, message id} of events
-- Gives {'OK', build}: another caller's if one is under way ('' = there is nothing to build).
--       Or, nothing written:
--       {'CHANGED'}  events were removed, or another caller has ended the build: ask again
local events_key, index_key = unpack(KEYS)
local build = unpack(ARGV, 1, 1)
--#include _message_index

local under_way = find_build(index_key)
if build ~= '' and build ~= under_way then return {'CHANGED'} end
if not under_way then
  if redis.call('ZCARD', events_key) == 0 or redis.call('ZCARD', index_key) > 0 then
    return {'OK', ''}
  end
  local time = redis.call('TIME')
  under_way = 'building ' .. time[1] .. '.' .. time[2]
  redis.call('ZADD', index_key, 'inf', under_way)
  local left = redis.call('PTTL', events_key)
  if left > 0 then redis.call('PEXPIRE', index_key, left) end
end
-- What retention has removed since it was read would not leave the index again.
local oldest = redis.call('ZRANGE', events_key, 0, 0, 'WITHSCORES')[2]
local pairs_ = {}
for cursor = 2, oldest and #ARGV or 0, 2 do
  local score, id = ARGV[cursor], ARGV[cursor + 1]
  if tonumber(score) >= tonumber(oldest) then
    pairs_[#pairs_ + 1] = score
    pairs_[#pairs_ + 1] = id
  end
end
-- Mostly each is new, and stands once.
if #pairs_ > 0
    and redis.call('ZADD', index_key, 'NX', unpack(pairs_)) < #pairs_ / 2 then
  for i = 1, #pairs_, 2 do index_message(index_key, pairs_[i + 1], pairs_[i]) end
end
return {'OK', under_way}
