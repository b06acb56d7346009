-- Reads which instances are there.
--
-- KEYS    1 until when each instance may believe  2 what each said last
-- ARGV    none
-- returns { instance, how long it may have to be waited for, milliseconds, what it said last } for each

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf', 'WITHSCORES')
local instances = {}
for i = 1, #found, 2 do
  instances[#instances + 1] = { found[i], tonumber(found[i + 1]) - now, redis.call('HGET', KEYS[2], found[i]) or '' }
end
return instances
