-- Put items into a namespace of a memory store, and delete items from it.
--
-- KEYS  items_key, vectors_key, index_key
-- ARGV  namespace      as it stands in the index
--       try_field_ttl  '1' = TTLs per field
--       …              {key, head or '' to delete it, ttl ms (0 = never), vectors or ''} of each
-- Gives {'OK', TTL per field}.
local items_key, vectors_key, index_key = unpack(KEYS)
local namespace, try_field_ttl = unpack(ARGV, 1, 2)
--#include _clock
--#include _record
--#include _items

-- Reads come first, so that a key of the wrong type changes nothing.
local had_items = redis.call('HLEN', items_key) > 0
local had_vectors = redis.call('HLEN', vectors_key) > 0
local had_index = redis.call('ZCARD', index_key) > 0
local field_ttl = ''
for cursor = 3, #ARGV, 4 do
  local key, head, ttl_ms = ARGV[cursor], ARGV[cursor + 1], tonumber(ARGV[cursor + 2])
  local vectors = ARGV[cursor + 3]
  if head == '' then
    redis.call('HDEL', items_key, key)
    redis.call('HDEL', vectors_key, key)
  else
    local old = redis.call('HGET', items_key, key)
    local _, created = read_life(old and not is_over(old) and old or '')
    -- Those of one call keep their order.
    created = created or string.format('%.0f', now_us + (cursor - 3) / 4)
    local item = head .. ',"createdAtUs":' .. created .. ',"updatedAtUs":'
      .. string.format('%.0f', math.max(now_us, tonumber(created)))
    if ttl_ms > 0 then
      item = item .. string.format(',"ttlMs":%.0f,"expiresAtMs":%.0f', ttl_ms, now_ms + ttl_ms)
    end
    redis.call('HSET', items_key, key, item .. '}')
    lengthen_ttl(items_key, had_items, ttl_ms)
    if vectors == '' then
      redis.call('HDEL', vectors_key, key)
    else
      redis.call('HSET', vectors_key, key, vectors)
      lengthen_ttl(vectors_key, had_vectors, ttl_ms)
      had_vectors = true
    end
    redis.call('ZADD', index_key, 0, namespace)
    lengthen_ttl(index_key, had_index, ttl_ms)
    had_items, had_index = true, true
    if ttl_ms > 0 then
      local keys = vectors == '' and {items_key} or {items_key, vectors_key}
      field_ttl = expire_fields(keys, key, now_ms + ttl_ms, try_field_ttl)
    end
  end
end
drop_if_empty(items_key, vectors_key, index_key, namespace)
return {'OK', field_ttl}
