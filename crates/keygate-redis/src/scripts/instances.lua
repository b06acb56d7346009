-- Reads which instances are there. What they said is read apart from this: while a slot of a Cluster moves, a script of two
-- entries is refused if not both are there.
--
-- KEYS    1 until when each instance may believe
-- ARGV    none
-- returns { instance, how long it may have to be waited for by this clock, milliseconds } for each, below zero for those
--         whose time has passed

-- How long past its time one is still returned, milliseconds: this clock may have been set forwards since, or be that of
-- a replica that has become the primary.
local DOUBT = 60 * 1000

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. (now - DOUBT), '+inf', 'WITHSCORES')
local instances = {}
for i = 1, #found, 2 do
  instances[#instances + 1] = { found[i], tonumber(found[i + 1]) - now }
end
return instances
