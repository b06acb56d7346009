-- Remembers a value for a while, unless something is remembered already.
--
-- KEYS    1 the memo
-- ARGV    1 the value  2 for how long, milliseconds
-- returns what was remembered already, or nil if the value is remembered now

local held = redis.call('GET', KEYS[1])
if held then
  return held
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
