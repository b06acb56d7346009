-- Keeps a notice, unless it is there, was sent not long ago, or too many of its organization wait. One that waits may be
-- replaced.
--
-- KEYS    1 the notices  2 when those that wait are due  3 how many of each organization wait  4 that it was sent
-- ARGV    1 its member: its id, its organization  2 the organization  3 when it is due  4 the notice  5 how many may wait
--         6 whether it replaces one that waits, 1 or 0
-- returns 'new', 'known' or 'full'

if redis.call('EXISTS', KEYS[4]) == 1 then
  return 'known'
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  if ARGV[6] ~= '1' or not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
    return 'known'
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
  return 'new'
end
if tonumber(redis.call('HGET', KEYS[3], ARGV[2]) or '0') >= tonumber(ARGV[5]) then
  return 'full'
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
return 'new'
