-- The head of the scripts that keep lists and quotas. What is used of a quota is the number of all keys in the list less
-- the number of those in the `ended` set whose time has come. A user's own ended set is kept only while the user has
-- many keys: most have few, and two entries for each key of theirs would be a sixth of all memory taken. A project's keys are
-- never listed, and so one set of those that may count is enough: its scores are when they stop.
--
-- A user or a project is said by the place of its first entry among the keys of the call, '' for none.

local FEW = 64

local function organization_use(keys, ended, now)
  return redis.call('ZCARD', keys) - redis.call('ZCOUNT', ended, '-inf', now)
end

local function user_use(ended, user_keys, user_ended, now)
  local count = redis.call('ZCARD', user_keys)
  if count > FEW then
    return count - redis.call('ZCOUNT', user_ended, '-inf', now)
  end
  if count == 0 then
    return 0
  end
  local ids = redis.call('ZRANGE', user_keys, 0, -1)
  for _, ends in ipairs(redis.call('ZMSCORE', ended, unpack(ids))) do
    if ends and tonumber(ends) <= now then
      count = count - 1
    end
  end
  return count
end

local function project_use(project_keys, now)
  return redis.call('ZCOUNT', project_keys, '(' .. now, '+inf')
end

local function set_end(set, id, ends)
  if ends and ends ~= '' then
    redis.call('ZADD', set, ends, id)
  else
    redis.call('ZREM', set, id)
  end
end

local function list_of_user(id, ends, ended, user_keys, user_ended)
  local is_new = redis.call('ZADD', user_keys, 0, id) == 1
  local count = redis.call('ZCARD', user_keys)
  if is_new and count == FEW + 1 then
    redis.call('DEL', user_ended)
    local ids = redis.call('ZRANGE', user_keys, 0, -1)
    for i, other in ipairs(redis.call('ZMSCORE', ended, unpack(ids))) do
      if other then
        redis.call('ZADD', user_ended, other, ids[i])
      end
    end
  elseif count > FEW then
    set_end(user_ended, id, ends)
  end
end

-- Lists a key that stops counting at `ends`, '' for never and '0' for one that is revoked or superseded.
local function list_key(id, ends, keys, ended, user, project)
  redis.call('ZADD', keys, 0, id)
  set_end(ended, id, ends)
  if user ~= '' then
    list_of_user(id, ends, ended, KEYS[tonumber(user)], KEYS[tonumber(user) + 1])
  end
  if project ~= '' then
    if ends == '0' then
      redis.call('ZREM', KEYS[tonumber(project)], id)
    else
      redis.call('ZADD', KEYS[tonumber(project)], ends == '' and '+inf' or ends, id)
    end
  end
end

local function unlist_key(id, keys, ended, user, project)
  redis.call('ZREM', keys, id)
  redis.call('ZREM', ended, id)
  if user ~= '' then
    local user_keys, user_ended = KEYS[tonumber(user)], KEYS[tonumber(user) + 1]
    redis.call('ZREM', user_keys, id)
    if redis.call('ZCARD', user_keys) > FEW then
      redis.call('ZREM', user_ended, id)
    else
      redis.call('DEL', user_ended)
    end
  end
  if project ~= '' then
    redis.call('ZREM', KEYS[tonumber(project)], id)
  end
end

