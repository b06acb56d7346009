-- In the place of clock.lua, for tests: what the time is the call says.

local function store_time()
  return tonumber(ARGV[2])
end

