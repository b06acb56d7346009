-- Has a notice wait that was given up, unless too many of its organization wait.
--
-- KEYS    1 the notices  2 when those that wait are due  3 how many of each organization wait
--         4 when those of its organization were given up
-- ARGV    1 its member: its id, its organization  2 the organization  3 when it is due  4 the notice as it then is
--         5 how many may wait
-- returns 'new', 'known' when it was not given up, or 'full'

if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then
  return 'known'
end
if tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or '0') >= tonumber(ARGV[5]) then
  return 'full'
end
redis.call('ZREM', KEYS[4], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return 'new'
