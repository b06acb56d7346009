-- The head of the scripts that list keys by the day on which something is due to them. Both entries of `due` are of the
-- record's slot: the list of a day, and the days that have one.

-- Lists a key, where a day is given.
local function list_due(list, days, id, day)
  if list then
    redis.call('ZADD', list, 0, id)
    redis.call('ZADD', days, day, day)
  end
end

