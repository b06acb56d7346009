-- Takes a key off the list of a day, unless its record is there with another revision than the one that was seen.
--
-- KEYS    1 the record  2 the list of the day  3 the days that have one
-- ARGV    1 the revision seen, 8 bytes, '' for none  2 id  3 the day
-- returns 1 if it is off the list, 0 if it stays on it

local held = redis.call('GET', KEYS[1])
if held then
  local header = read_header(held)
  if not header or header.revision ~= ARGV[1] then
    return 0
  end
end
redis.call('ZREM', KEYS[2], ARGV[2])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('ZREM', KEYS[3], ARGV[3])
end
return 1
