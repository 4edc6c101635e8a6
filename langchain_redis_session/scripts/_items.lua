-- Shared: an item of a memory store, the JSON in the hash of a namespace.
--
-- An item reads  head ,"createdAtUs":N,"updatedAtUs":N [,"ttlMs":N,"expiresAtMs":N] }  where head
-- is opaque to scripts. All times are the server's.

local LIFE_BYTES = 160  -- more than all behind the head

-- Its tail, when it was made in µs, and, with a TTL, its length and its end in ms; nothing for what
-- is no item.
local function read_life(item)
  local tail, created, rest = string.match(string.sub(item, -LIFE_BYTES),
    '^.*(,"createdAtUs":(%d+),"updatedAtUs":%d+(.-)})$')
  if not tail then return nil end
  local ttl_ms, expires_ms = string.match(rest, '^,"ttlMs":(%d+),"expiresAtMs":(%d+)$')
  return tail, created, tonumber(ttl_ms), tonumber(expires_ms)
end

local function is_over(item)
  local _, _, _, expires_ms = read_life(item)
  return expires_ms ~= nil and expires_ms <= now_ms
end

-- Give an item, and its vectors, the lifetime that its bytes tell of. Gives as save_record.
local function expire_fields(keys, field, expires_ms, try_field_ttl)
  if try_field_ttl ~= '1' then return '' end
  local found = 1
  for _, key in ipairs(keys) do
    local reply = redis.pcall('HPEXPIREAT', key, string.format('%.0f', expires_ms), 'FIELDS', 1,
      field)
    if reply.err then found = 0 end
  end
  return found
end

-- A namespace without items is none.
local function drop_if_empty(items_key, vectors_key, index_key, namespace)
  if redis.call('HLEN', items_key) == 0 then
    redis.call('DEL', vectors_key)
    redis.call('ZREM', index_key, namespace)
  end
end
