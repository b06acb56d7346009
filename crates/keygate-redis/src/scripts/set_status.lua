-- Rewrites the status in a record's header, with the next revision, and leaves the body alone.
--
-- KEYS    1 the record
-- ARGV    1 the organization  2 the status, 1 byte  3 since when, 8 bytes  4 the reason  5 the deadline, '' for none
-- returns { 'written', the new bytes }, { 'same', the bytes held, which have that status }, { 'absent', '' },
--         { 'revoked', '' }, { 'late', '' } or { 'unreadable', the bytes held }

-- The next of a number in 8 bytes; the greatest stays.
local function next_revision(revision)
  local bytes = { revision:byte(1, 8) }
  for i = 8, 1, -1 do
    if bytes[i] < 255 then
      bytes[i] = bytes[i] + 1
      return string.char(unpack(bytes))
    end
    bytes[i] = 0
  end
  return revision
end

local held = redis.call('GET', KEYS[1])
if not held then
  return { 'absent', '' }
end
local header = read_header(held)
if not header then
  return { 'unreadable', held }
end
if header.organization ~= ARGV[1] then
  return { 'absent', '' }
end
if header.status == ARGV[2]:byte() then
  return { 'same', held }
end
if header.status == REVOKED then
  return { 'revoked', '' }
end
if is_late(ARGV[5]) then
  return { 'late', '' }
end
local length = #ARGV[4]
local blob = held:sub(1, 1)
  .. next_revision(header.revision)
  .. ARGV[2]
  .. ARGV[3]
  .. string.char(math.floor(length / 256), length % 256)
  .. ARGV[4]
  .. header.rest
redis.call('SET', KEYS[1], blob)
return { 'written', blob }
