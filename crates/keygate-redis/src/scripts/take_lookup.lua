-- Takes what an imported key is found by, unless a key has it.
--
-- KEYS    1 the lookup
-- ARGV    1 the key's id, 16 bytes
-- returns whose it is already, or nil if it is taken now

local held = redis.call('GET', KEYS[1])
if held then
  return held
end
redis.call('SET', KEYS[1], ARGV[1])
return false
