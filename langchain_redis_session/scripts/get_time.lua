-- Read the clock by which a user's sessions expire: that of the server which holds them.
--
-- KEYS  sessions_key
-- Gives {'OK', now in ms}.
local sessions_key = unpack(KEYS)

local time = redis.call('TIME')
return {'OK', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))}
