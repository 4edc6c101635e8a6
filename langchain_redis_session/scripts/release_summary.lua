-- Give back the lease to summarize a session.
--
-- KEYS  lease_key
-- ARGV  token       the owner's
-- Gives {'OK'}, or {'GONE'} where it is not held any more.
local lease_key = unpack(KEYS)
local token = unpack(ARGV)

if redis.call('GET', lease_key) ~= token then return {'GONE'} end
redis.call('DEL', lease_key)
return {'OK'}
