-- Takes notices that are due, those that are due longest first, and moves them to a later time.
--
-- KEYS    1 the notices  2 when those that wait are due
-- ARGV    1 until when they are due  2 when they are due then  3 how many at most
-- returns of each its member and its bytes, one after the other

local taken = {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  redis.call('ZADD', KEYS[2], ARGV[2], member)
  taken[#taken + 1] = member
  taken[#taken + 1] = redis.call('HGET', KEYS[1], member) or ''
end
return taken
