-- Writes a value if the one there is the one expected.
--
-- KEYS    1 the entry
-- ARGV    1 the value expected, '' for none yet  2 the new value
-- returns 1 when written, 0 when something else is there

local held = redis.call('GET', KEYS[1])
if (held or '') ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
