-- Keeps a seal after the last one, if that is the one expected, and covers no entry that was not appended.
--
-- KEYS    1 the seals  2 how far the audit has come
-- ARGV    1 the last sequence under the last seal, '' for none  2 the last seal, '' for none  3 the last sequence under this one
--         4 the seal
-- returns 1, or 0 when another is the last, or this one does not follow it

local held = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if (held and held[1]:match('^%d+') or '') ~= ARGV[1] or (held and held[2][2] or '') ~= ARGV[2] then
  return 0
end
local last = tonumber(ARGV[3])
if held and tonumber(ARGV[1]) >= last or last > tonumber(redis.call('HGET', KEYS[2], 'last') or '0') then
  return 0
end
local added = redis.pcall('XADD', KEYS[1], ARGV[3] .. '-0', 's', ARGV[4])
if type(added) == 'table' and added.err then
  -- Somebody took later seals away: the stream knows of them still.
  redis.call('XSETID', KEYS[1], held and held[1] or '0-0')
  redis.call('XADD', KEYS[1], ARGV[3] .. '-0', 's', ARGV[4])
end
-- How many seals name each entry of the secret ring.
redis.call('HINCRBY', KEYS[2], 'r' .. ARGV[4]:sub(2, 5), 1)
return 1
