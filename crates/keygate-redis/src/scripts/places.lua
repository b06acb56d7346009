-- The head of the scripts that keep lists and quotas. What is used of a quota is the number of all keys in the list less
-- the number of those in the `ended` set whose time has come. A user's own ended set is kept only while the user has
-- many keys: most have few, and two entries for each key of theirs would be a sixth of all memory taken.

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

local function set_end(set, id, ends)
  if ends and ends ~= '' then
    redis.call('ZADD', set, ends, id)
  else
    redis.call('ZREM', set, id)
  end
end

-- Lists a key that stops counting at `ends`, '' for never.
local function list_key(id, ends, keys, ended, user_keys, user_ended)
  redis.call('ZADD', keys, 0, id)
  set_end(ended, id, ends)
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

local function unlist_key(id, keys, ended, user_keys, user_ended)
  redis.call('ZREM', keys, id)
  redis.call('ZREM', ended, id)
  redis.call('ZREM', user_keys, id)
  if redis.call('ZCARD', user_keys) > FEW then
    redis.call('ZREM', user_ended, id)
  else
    redis.call('DEL', user_ended)
  end
end

