-- Counts what is used of the quotas.
--
-- KEYS    1 the organization's keys  2 its ended keys  3 the user's keys  4 the user's ended keys
-- returns { of the organization's, of the user's }

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return { organization_use(KEYS[1], KEYS[2], now), user_use(KEYS[2], KEYS[3], KEYS[4], now) }
