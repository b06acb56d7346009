-- Puts a key's habits in the place of those expected.
--
-- KEYS    1 the habits
-- ARGV    1 the new ones  2 for how long they are kept, milliseconds  3 those expected, left out for none
-- returns 1 when they are put, 0 when others are there

if redis.call('GET', KEYS[1]) ~= (ARGV[3] or false) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
