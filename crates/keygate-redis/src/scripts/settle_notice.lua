-- Says what becomes of a notice, if it still waits until the time it was taken with.
--
-- KEYS    1 the notices  2 when those that wait are due  3 how many of each organization wait  4 that it was sent
--         5 when those of its organization were given up
-- ARGV    1 its member: its id, its organization  2 the organization  3 the time it was taken with
--         4 'later', 'given_up', 'sent' or 'forgotten'
--         5 when it is due then, when it was given up, or for how long it is remembered that it was sent, milliseconds
--         6 the notice as it then is  7 how many that were given up are kept
-- returns 1, or 0 when it does not wait until that time

local notices, waiting, counts, member, fate = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[4]
local due = redis.call('ZSCORE', waiting, member)
if not due or tonumber(due) ~= tonumber(ARGV[3]) then
  return 0
end
if fate == 'later' then
  redis.call('HSET', notices, member, ARGV[6])
  redis.call('ZADD', waiting, ARGV[5], member)
  return 1
end
redis.call('ZREM', waiting, member)
if redis.call('HINCRBY', counts, ARGV[2], -1) <= 0 then
  redis.call('HDEL', counts, ARGV[2])
end
if fate == 'given_up' then
  redis.call('HSET', notices, member, ARGV[6])
  redis.call('ZADD', KEYS[5], ARGV[5], member)
  local too_many = redis.call('ZCARD', KEYS[5]) - tonumber(ARGV[7])
  if too_many > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', KEYS[5], 0, too_many - 1)) do
      redis.call('ZREM', KEYS[5], oldest)
      redis.call('HDEL', notices, oldest)
    end
  end
  return 1
end
redis.call('HDEL', notices, member)
if fate == 'sent' then
  redis.call('SET', KEYS[4], '1', 'PX', ARGV[5])
end
return 1
