-- Takes entries and seals away up to a sequence, and puts a checkpoint in their place, if the one there is the one expected.
--
-- KEYS    1 the entries  2 the seals  3 how far the audit has come
-- ARGV    1 the sequence  2 the checkpoint  3 the checkpoint expected, '' for none
-- returns 1, or 0 when another is there

local held = redis.call('HGET', KEYS[3], 'checkpoint') or ''
if held ~= ARGV[3] then
  return 0
end

-- How many seals and checkpoints name each entry of the secret ring.
local function count(bytes, more)
  local field = 'r' .. bytes:sub(2, 5)
  if redis.call('HINCRBY', KEYS[3], field, more) <= 0 then
    redis.call('HDEL', KEYS[3], field)
  end
end

for _, seal in ipairs(redis.call('XRANGE', KEYS[2], '-', ARGV[1])) do
  count(seal[2][2], -1)
end
local first = string.format('%.0f', tonumber(ARGV[1]) + 1)
redis.call('XTRIM', KEYS[1], 'MINID', first)
redis.call('XTRIM', KEYS[2], 'MINID', first)
if held ~= '' then
  count(held, -1)
end
count(ARGV[2], 1)
redis.call('HSET', KEYS[3], 'checkpoint', ARGV[2])
return 1
