-- Takes places for keys to come: in the lists, and so in the quotas, with a pending entry for each that lets whoever
-- comes next put things right if the creator never settles.
--
-- KEYS    1 the organization's keys  2 its ended keys  3 pending  4 flight
--         then for each user: the user's keys, the user's ended keys  then for each project: the project's keys
-- ARGV    1 the organization's quota  2 how long a reservation holds, milliseconds
--         3 how many overdue entries to return at most
--         4 '1' to take no place at all if a quota refuses anyone, so that the caller may look for room first
--         then for each key: id  the place of its user  the user's quota  the place of its project, '' for none  the
--         project's quota, '' for none  when it stops counting, '' for never  pending entry
-- returns { deadline, one letter for each key, overdue pending entries }
--         R reserved  E there is such a key  O the organization's quota is full  U the user's is  P the project's is

local NEVER_SETTLED = string.rep('\0', 8)
local FIRST, WIDTH = 5, 7

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local deadline = now + tonumber(ARGV[2])
local organization_quota = tonumber(ARGV[1])

-- First decide, in order, as if the places before were taken.
local used = organization_use(KEYS[1], KEYS[2], now)
-- Of each user, and of each project that has a quota, by its place.
local used_by = {}
local letters, flights, listed = {}, {}, {}
local refused = false
for i = FIRST, #ARGV, WIDTH do
  local id, user, user_quota = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local project, project_quota, ends = ARGV[i + 3], tonumber(ARGV[i + 4]), ARGV[i + 5]
  local place = tonumber(user)
  used_by[user] = used_by[user] or user_use(KEYS[2], KEYS[place], KEYS[place + 1], now)
  if project_quota then
    used_by[project] = used_by[project] or project_use(KEYS[tonumber(project)], now)
  end
  listed[i] = redis.call('ZSCORE', KEYS[1], id)
  flights[i] = redis.call('HGET', KEYS[4], id)
  local letter = 'R'
  if listed[i] and flights[i] then
    -- Somebody's creation of this very id is not settled, perhaps the caller's own before its answer was lost. The
    -- place is taken already; the key's slot decides whose record it is.
    letter = 'R'
  elseif listed[i] then
    letter = 'E'
  elseif flights[i] and flights[i]:sub(5) ~= NEVER_SETTLED then
    -- Deleted a moment ago: a revision of the old life must not be taken for one of a new life.
    letter = 'E'
  elseif used >= organization_quota then
    letter = 'O'
    refused = true
  elseif used_by[user] >= user_quota then
    letter = 'U'
    refused = true
  elseif project_quota and used_by[project] >= project_quota then
    letter = 'P'
    refused = true
  elseif ends == '' or tonumber(ends) > now then
    used = used + 1
    used_by[user] = used_by[user] + 1
    if project_quota then
      used_by[project] = used_by[project] + 1
    end
  end
  letters[#letters + 1] = letter
end

local overdue = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[3])
if refused and ARGV[4] == '1' then
  return { deadline, table.concat(letters), overdue }
end

-- Then take the places.
for n, letter in ipairs(letters) do
  if letter == 'R' then
    local i = FIRST + (n - 1) * WIDTH
    local id, user, project, ends, entry = ARGV[i], ARGV[i + 1], ARGV[i + 3], ARGV[i + 5], ARGV[i + 6]
    if not listed[i] then
      list_key(id, ends, KEYS[1], KEYS[2], user, project)
    end
    if redis.call('ZADD', KEYS[3], deadline, entry) == 1 then
      local count, newest = 0, NEVER_SETTLED
      if flights[i] then
        count, newest = struct.unpack('>I4', flights[i]), flights[i]:sub(5)
      end
      redis.call('HSET', KEYS[4], id, struct.pack('>I4', count + 1) .. newest)
    end
  end
end
return { deadline, table.concat(letters), overdue }
