-- Has a notice wait that was given up.
--
-- KEYS    1 the notices  2 when those that wait are due  3 how many of each organization wait
--         4 when those of its organization were given up
-- ARGV    1 its member: its id, its organization  2 the organization  3 when it is due  4 the notice as it then is
-- returns 1, or 0 when it was not given up

if redis.call('ZREM', KEYS[4], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return 1
