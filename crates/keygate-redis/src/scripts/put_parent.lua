-- Writes an organization's or a project's record, whose bytes begin with a version byte and the revision in eight.
--
-- KEYS    1 the record
-- ARGV    1 the revision expected, 8 bytes, '' for none yet  2 the new bytes
-- returns { 'written', '' }, { 'absent', '' } or { 'conflict', the revision found, 8 bytes }

local held = redis.call('GET', KEYS[1])
-- The very same bytes are this same write, run again after an answer was lost, as a Cluster's client does by itself.
if held == ARGV[2] then
  return { 'written', '' }
end
if held then
  local found = held:sub(2, 9)
  if found ~= ARGV[1] then
    return { 'conflict', found }
  end
elseif ARGV[1] ~= '' then
  return { 'absent', '' }
end
redis.call('SET', KEYS[1], ARGV[2])
return { 'written', '' }
