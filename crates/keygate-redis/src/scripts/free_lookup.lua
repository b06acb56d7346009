-- Frees what an imported key was found by, if it is this key's.
--
-- KEYS    1 the lookup
-- ARGV    1 the key's id, 16 bytes
-- returns 1 when it is freed, 0 when it is another key's, or nobody's

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
