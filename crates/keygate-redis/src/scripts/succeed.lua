-- Puts a record in the place of an older revision and writes that of its successor, if its reservation still holds: both
-- or neither.
--
-- KEYS    1 the record  2 its successor's record  3 the successor's fence  then for each of the two to which something is
--         due: the list of the day, the days that have one
-- ARGV    1 the organization  2 the revision expected, 8 bytes  3 the new record's bytes  4 the successor's bytes
--         5 the reservation's nonce  6 the deadline  then, likewise: id, the day
-- returns { 'written', '' }, { 'absent', '' }, { 'revoked', '' }, { 'conflict', the revision found, 8 bytes },
--         { 'exists', '' }, { 'fenced', '' }, { 'late', '' } or { 'unreadable', the bytes held }

local held, header, refusal = read_owned(KEYS[1], ARGV[1])
if refusal then
  return refusal
end
-- The very same bytes are this same change, run again after an answer was lost.
if held == ARGV[3] and redis.call('GET', KEYS[2]) == ARGV[4] then
  return { 'written', '' }
end
if header.status == REVOKED then
  return { 'revoked', '' }
end
if header.revision ~= ARGV[2] then
  return { 'conflict', header.revision }
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'exists', '' }
end
if redis.call('SISMEMBER', KEYS[3], ARGV[5]) == 1 then
  return { 'fenced', '' }
end
if is_late(ARGV[6]) then
  return { 'late', '' }
end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4])
list_due(KEYS[4], KEYS[5], ARGV[7], ARGV[8])
list_due(KEYS[6], KEYS[7], ARGV[9], ARGV[10])
return { 'written', '' }
