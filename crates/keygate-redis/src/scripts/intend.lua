-- Notes a change to come of a key that exists, before it is made.
--
-- KEYS    1 pending  2 flight
-- ARGV    1 how long the note stands, milliseconds  2 id  3 pending entry
-- returns the deadline

local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
if redis.call('ZADD', KEYS[1], deadline, ARGV[3]) == 1 then
  local flight = redis.call('HGET', KEYS[2], ARGV[2])
  local count, newest = 0, string.rep('\0', 8)
  if flight then
    count, newest = struct.unpack('>I4', flight), flight:sub(5)
  end
  redis.call('HSET', KEYS[2], ARGV[2], struct.pack('>I4', count + 1) .. newest)
end
return deadline
