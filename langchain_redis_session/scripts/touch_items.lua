-- See to items with a TTL that were read: those past their time go; the others' starts anew.
--
-- KEYS  items_key, vectors_key, index_key
-- ARGV  namespace      as it stands in the index
--       try_field_ttl  '1' = TTLs per field
--       refresh        '1' = start TTLs anew
--       …              the keys of the items
-- Gives {'OK', TTL per field, {1 if it lives or 0, …}}.
local items_key, vectors_key, index_key = unpack(KEYS)
local namespace, try_field_ttl, refresh = unpack(ARGV, 1, 3)
--#include _clock
--#include _record
--#include _items

local alive, field_ttl = {}, ''
for cursor = 4, #ARGV do
  local key = ARGV[cursor]
  local item = redis.call('HGET', items_key, key)
  if item and is_over(item) then
    redis.call('HDEL', items_key, key)
    redis.call('HDEL', vectors_key, key)
    item = nil
  end
  local tail, _, ttl_ms, expires_ms = read_life(item or '')
  if expires_ms and refresh == '1' then
    local new_tail = string.gsub(tail, '"expiresAtMs":%d+}$',
      string.format('"expiresAtMs":%.0f}', now_ms + ttl_ms))
    redis.call('HSET', items_key, key, string.sub(item, 1, #item - #tail) .. new_tail)
    for _, shared in ipairs({items_key, vectors_key, index_key}) do
      lengthen_ttl(shared, true, ttl_ms)
    end
    field_ttl = expire_fields({items_key, vectors_key}, key, now_ms + ttl_ms, try_field_ttl)
  end
  alive[#alive + 1] = item and 1 or 0
end
drop_if_empty(items_key, vectors_key, index_key, namespace)
return {'OK', field_ttl, alive}
