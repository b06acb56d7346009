-- Keeps a seal after the last one, if that is the one expected.
--
-- KEYS    1 the seals  2 how far the audit has come
-- ARGV    1 the last sequence under the last seal, '' for none  2 that under this one  3 the seal
-- returns 1, or 0 when another is the last

local held = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if (held and held[1]:match('^%d+') or '') ~= ARGV[1] then
  return 0
end
redis.call('XADD', KEYS[1], ARGV[2] .. '-0', 's', ARGV[3])
-- How many seals name each entry of the secret ring.
redis.call('HINCRBY', KEYS[2], 'r' .. ARGV[3]:sub(2, 5), 1)
return 1
