-- The head of the scripts that look into a record. A stored record begins with a header of plain fields
-- (keygate_core::record, encoding):
--   byte 1 schema version; 2-9 revision; 10 status; 11-18 status changed at; 19-20 length of the reason; the reason;
--   one byte, length of the organization; the organization; the rest is the body.
-- All numbers are big-endian.

local REVOKED = 2
-- The schema versions that have this header.
local OLDEST, NEWEST = 1, 4

-- The header's fields, or nil for what this version of the scripts cannot read.
local function read_header(blob)
  if #blob < 21 or blob:byte(1) < OLDEST or blob:byte(1) > NEWEST then
    return nil
  end
  local tenant = 21 + blob:byte(19) * 256 + blob:byte(20)
  local length = blob:byte(tenant)
  if not length or #blob < tenant + length then
    return nil
  end
  return {
    revision = blob:sub(2, 9),
    status = blob:byte(10),
    organization = blob:sub(tenant + 1, tenant + length),
    -- From the length of the organization to the end.
    rest = blob:sub(tenant),
  }
end

-- Whether the deadline, '' for none, has come.
local function is_late(deadline)
  if deadline == '' then
    return false
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) >= tonumber(deadline)
end

-- The record of this tenant and its header; or in their place the answer of a script that cannot go on without:
-- { 'absent', '' } or { 'unreadable', the bytes held }.
local function read_owned(name, organization)
  local held = redis.call('GET', name)
  if not held then
    return nil, nil, { 'absent', '' }
  end
  local header = read_header(held)
  if not header then
    return nil, nil, { 'unreadable', held }
  end
  if header.organization ~= organization then
    return nil, nil, { 'absent', '' }
  end
  return held, header
end

