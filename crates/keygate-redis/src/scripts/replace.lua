-- Puts a record in the place of an older revision.
--
-- KEYS    1 the record  2 and 3, where something is due to it: the list of the day, the days that have one
-- ARGV    1 the organization  2 the revision expected, 8 bytes  3 the new record's bytes  4 the deadline, '' for none
--         5 and 6, where something is due: id, the day
-- returns { 'written', '' }, { 'absent', '' }, { 'revoked', '' }, { 'conflict', the revision found, 8 bytes },
--         { 'late', '' } or { 'unreadable', the bytes held }

local held, header, refusal = read_owned(KEYS[1], ARGV[1])
if refusal then
  return refusal
end
-- The very same bytes are this same update, run again after an answer was lost, as a Cluster's client does by itself.
if held == ARGV[3] then
  return { 'written', '' }
end
if header.status == REVOKED then
  return { 'revoked', '' }
end
if header.revision ~= ARGV[2] then
  return { 'conflict', header.revision }
end
if is_late(ARGV[4]) then
  return { 'late', '' }
end
redis.call('SET', KEYS[1], ARGV[3])
list_due(KEYS[2], KEYS[3], ARGV[5], ARGV[6])
return { 'written', '' }
