-- Reads how far an organization's audit has come. It writes nothing.
--
-- KEYS    1 the seals  2 the acts that are open  3 how far it has come
-- ARGV    1 how many open acts at most
-- returns the last sequence, the last sequence under the last seal, the seal, the checkpoint, each '' where there is none, and
--         of the open acts each and the sequence of its intent, one after the other

local state = redis.call('HMGET', KEYS[3], 'last', 'checkpoint')
local seal = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local open = redis.call('ZRANGE', KEYS[2], 0, tonumber(ARGV[1]) - 1, 'WITHSCORES')
return {
  state[1] or '0',
  seal and seal[1]:match('^%d+') or '',
  seal and seal[2][2] or '',
  state[2] or '',
  open,
}
