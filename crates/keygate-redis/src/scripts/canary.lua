-- Writes something that ends by itself, for an examination: whether scripts may write here, and who is told.
--
-- KEYS    1 its name
-- ARGV    1 how long it stays, milliseconds
-- returns 'written'

redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
return 'written'
