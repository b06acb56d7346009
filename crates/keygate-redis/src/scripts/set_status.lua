-- Rewrites the status in a record's header, with the next revision, and leaves the body alone.
--
-- KEYS    1 the record  2 that it is revoked
-- ARGV    1 the organization  2 the status, 1 byte  3 since when, 8 bytes  4 the reason  5 the deadline, '' for none
-- returns { 'written', the new bytes }, { 'same', the bytes held, which have that status }, { 'absent', '' },
--         { 'revoked', '' }, { 'late', '' } or { 'unreadable', the bytes held }

-- How long it is told that a key is revoked, milliseconds: what any failover forgets is far less.
local TOLD = 60 * 60 * 1000

-- Says that the key is revoked, for those who are told of changes, if that is the status it is given.
local function tell_revoked()
  if ARGV[2]:byte() == REVOKED then
    redis.call('SET', KEYS[2], '1', 'PX', TOLD)
  end
end

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

local held, header, refusal = read_owned(KEYS[1], ARGV[1])
if refusal then
  return refusal
end
if header.status == ARGV[2]:byte() then
  -- Who revokes again may do so because the first time went wrong half-way.
  tell_revoked()
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
tell_revoked()
return { 'written', blob }
