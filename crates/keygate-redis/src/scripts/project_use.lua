-- Counts what is used of a project's quota.
--
-- KEYS    1 the project's keys
-- returns how many of its keys count

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return project_use(KEYS[1], now)
