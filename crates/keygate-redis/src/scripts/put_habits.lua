-- Puts a key's habits in the place of those expected, if there is a record of the key.
--
-- KEYS    1 the habits  2 the key's record
-- ARGV    1 the new ones  2 for how long they are kept, milliseconds  3 those expected, left out for none
-- returns 1 when they are put, 0 when others are there, or no key

if redis.call('GETRANGE', KEYS[2], '0', '0') == '' or redis.call('GET', KEYS[1]) ~= (ARGV[3] or false) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
