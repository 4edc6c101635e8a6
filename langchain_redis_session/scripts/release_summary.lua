-- Give back the lease to summarize a session, if it is still held.
--
-- KEYS  1 lease
-- ARGV  1 token, the owner's
-- Gives 1 if it was held, else 0.

if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
