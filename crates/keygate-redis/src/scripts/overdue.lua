-- Finds pending changes whose deadline has passed.
--
-- KEYS    1 pending
-- ARGV    1 how many to return at most
-- returns pending entries

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
