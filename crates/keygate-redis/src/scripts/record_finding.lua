-- Keeps a finding of an organization, unless one of its id is kept: the newest of them, for a time.
--
-- KEYS    1 when each was found  2 the findings
-- ARGV    1 its member among the times, which begins with the 16 bytes of its id  2 when it was found  3 the finding
--         4 how many are kept  5 for how long, milliseconds
-- returns 1 when it is kept now, 0 when one of its id was kept before

-- What Lua unpacks at once, and more than there ever are.
local MANY = 2000

local times, findings = KEYS[1], KEYS[2]
local id, most, kept_for = ARGV[1]:sub(1, 16), tonumber(ARGV[4]), tonumber(ARGV[5])

local function forget(members)
  if #members == 0 then
    return
  end
  redis.call('ZREM', times, unpack(members))
  for i = 1, #members do
    members[i] = members[i]:sub(1, 16)
  end
  redis.call('HDEL', findings, unpack(members))
end

forget(redis.call('ZRANGEBYSCORE', times, '-inf', store_time() - kept_for, 'LIMIT', 0, MANY))
if redis.call('HEXISTS', findings, id) == 1 then
  return 0
end
redis.call('HSET', findings, id, ARGV[3])
redis.call('ZADD', times, ARGV[2], ARGV[1])
local too_many = redis.call('ZCARD', times) - most
if too_many > 0 then
  forget(redis.call('ZRANGE', times, 0, math.min(too_many, MANY) - 1))
end
-- Both end with the last of them.
local newest = redis.call('ZRANGE', times, -1, -1, 'WITHSCORES')
local ends = newest[2] + kept_for
redis.call('PEXPIREAT', times, ends)
redis.call('PEXPIREAT', findings, ends)
return 1
