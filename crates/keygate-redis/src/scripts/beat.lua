-- A heartbeat: says that an instance is there, and until when it may have to be waited for.
--
-- KEYS    1 until when each instance may believe  2 what each said last
-- ARGV    1 the instance  2 what it says: its number in 8 bytes, and more  3 how long it may have to be waited for
--         4 the longest it believes  5 the most it would allow the deployment; all three in milliseconds
-- returns { 'registered', the most that the deployment allows, how many instances there are, this one among them }, or
--         { 'above', the same, the same } if this instance believes for longer, and is not registered

-- Who was to be waited for so long ago is of no more interest, milliseconds, and how many of those go with one heartbeat.
local LONG_PAST, AT_ONCE = 5 * 60 * 1000, 16

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - LONG_PAST, 'LIMIT', 0, AT_ONCE)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end

local others = redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
local own = redis.call('ZSCORE', KEYS[1], ARGV[1])
if own and tonumber(own) > now then
  others = others - 1
end
local maximum = redis.call('HGET', KEYS[2], 'maximum')
local alone = others == 0 or not maximum
if alone then
  maximum = ARGV[5]
end
if tonumber(ARGV[4]) > tonumber(maximum) then
  return { 'above', maximum, others + 1 }
end
if alone then
  redis.call('HSET', KEYS[2], 'maximum', maximum)
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return { 'registered', maximum, others + 1 }
