-- Writes a new record, if its reservation still holds.
--
-- KEYS    1 the record  2 its fence  3 and 4, where something is due to it: the list of the day, the days that have one
-- ARGV    1 the record's bytes  2 the reservation's nonce  3 its deadline  4 and 5, likewise: id, the day
-- returns { 'written', '' }, { 'exists', the bytes of the record there is }, { 'fenced', '' } or { 'late', '' }

local held = redis.call('GET', KEYS[1])
if held then
  -- The very same bytes, with their random verifier, are this same creation, tried again after an answer was lost.
  if held == ARGV[1] then
    return { 'written', '' }
  end
  return { 'exists', held }
end
if redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 1 then
  return { 'fenced', '' }
end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(ARGV[3]) then
  return { 'late', '' }
end
redis.call('SET', KEYS[1], ARGV[1])
list_due(KEYS[3], KEYS[4], ARGV[4], ARGV[5])
return { 'written', '' }
