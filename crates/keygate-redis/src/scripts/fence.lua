-- Reads a record for the reaper of a pending change. If there is none, the reservation that was to write it is fenced:
-- should its write still be under way, it is refused when it comes.
--
-- KEYS    1 the record  2 its fence
-- ARGV    1 the organization  2 the reservation's nonce, '' for a change that creates nothing
--         3 how long the fence stands, milliseconds
-- returns the record's bytes, or nil when this organization has no such record

local held = redis.call('GET', KEYS[1])
if held then
  local header = read_header(held)
  if not header or header.organization == ARGV[1] then
    return held
  end
end
if ARGV[2] ~= '' then
  redis.call('SADD', KEYS[2], ARGV[2])
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return false
