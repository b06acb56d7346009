-- The head of the scripts that ask what the time is.

-- Milliseconds since 1970 on the server's clock.
local function store_time()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

