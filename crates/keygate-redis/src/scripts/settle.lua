-- Makes the lists and quotas agree with what a record was seen to be, and ends the pending change it was seen for.
--
-- A sight may be old when it comes here. It counts only while its pending entry stands, and only if no newer revision of
-- the same id was settled since; the flight entry remembers the newest for as long as anything about the id is pending.
--
-- KEYS    1 the organization's keys  2 its ended keys  3 pending  4 flight
--         then for each user: the user's keys, the user's ended keys  then for each project: the project's keys
-- ARGV    for each: pending entry  the place of its user  the place of its project, either '' for none  'p' present or
--         'a' absent  revision, 8 bytes, all zero for a record that was never seen  when it stops counting, '' for never
-- returns one letter for each: S settled  O a newer one was settled before  G there is no such pending entry

local NEVER_SETTLED = string.rep('\0', 8)

-- Not `<`: Lua compares strings by the server's locale.
local function is_older(one, other)
  for i = 1, 8 do
    local a, b = one:byte(i), other:byte(i)
    if a ~= b then
      return a < b
    end
  end
  return false
end

local letters = {}
for i = 1, #ARGV, 6 do
  local entry, user, project = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local state, revision, ends = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local letter = 'G'
  if redis.call('ZREM', KEYS[3], entry) == 1 then
    local id = entry:sub(1, 16)
    local flight = redis.call('HGET', KEYS[4], id)
    local count, newest = 1, NEVER_SETTLED
    if flight then
      count, newest = struct.unpack('>I4', flight), flight:sub(5)
    end
    letter = 'S'
    if is_older(revision, newest) then
      letter = 'O'
    elseif state == 'p' then
      list_key(id, ends, KEYS[1], KEYS[2], user, project)
    elseif revision ~= NEVER_SETTLED or count <= 1 then
      -- A record never seen while another reservation of its id stands is that one's to settle.
      unlist_key(id, KEYS[1], KEYS[2], user, project)
    end
    if count <= 1 then
      redis.call('HDEL', KEYS[4], id)
    else
      if letter == 'S' then
        newest = revision
      end
      redis.call('HSET', KEYS[4], id, struct.pack('>I4', count - 1) .. newest)
    end
  end
  letters[#letters + 1] = letter
end
return table.concat(letters)
