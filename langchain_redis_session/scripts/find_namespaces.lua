-- Find the namespaces of a memory store that lie between two bounds.
--
-- KEYS  index_key
-- ARGV  lowest, highest  as ZRANGEBYLEX takes them
-- Gives {'OK', now in ms, namespaces}. What is in them may be past its time.
local index_key = unpack(KEYS)
local lowest, highest = unpack(ARGV)
--#include _clock
--#include _record

return {'OK', string.format('%.0f', now_ms),
  redis.call('ZRANGEBYLEX', index_key, lowest, highest)}
