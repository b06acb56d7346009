-- Erases a record if it still has the revision expected, with what was counted of the key and its habits.
--
-- KEYS    1 the record; from 2 on, at least one: where something of the key may be besides
-- ARGV    1 the organization  2 the revision expected, 8 bytes  3 the deadline, '' for none
-- returns { 'written', '' }, { 'absent', '' }, { 'conflict', the revision found, 8 bytes }, { 'late', '' } or
--         { 'unreadable', the bytes held }

local _, header, refusal = read_owned(KEYS[1], ARGV[1])
if refusal then
  return refusal
end
if header.revision ~= ARGV[2] then
  return { 'conflict', header.revision }
end
if is_late(ARGV[3]) then
  return { 'late', '' }
end
redis.call('DEL', KEYS[1])
redis.call('UNLINK', unpack(KEYS, 2))
return { 'written', '' }
