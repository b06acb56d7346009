-- Answers a call for tokens of a pool: says what keygate_core::limiter::ledger says, in the same order. All numbers are whole
-- and below 2^53, but for what a bucket refills in a long time, which is then cut to what makes it full.
--
-- KEYS    1 the pool, a hash: `s` its state; `g`, where it ever had a bucket, the last grants of that; each writer's eight bytes,
--           that writer's last call
-- ARGV    1 the call, as store/lease writes it
-- returns the state after the call, and the outcome
--
-- state       what the clock showed, 6 bytes; when the ledger was made, 6; of each window what was granted in it, and in the
--             next one, 5 each; the level of the bucket, 6, all ones if there never was one; the longest window that ever had a limit, 1
-- last grants five, the oldest first: when it was, 6 bytes, and how much of it may be credited, 6; whether the last was cut, 1
-- last call   its number, 6 bytes; until when it might come, 6; its outcome
-- outcome     G, tokens in 5 bytes, from and until in 6 each; D, what is short in 1 (the place of a window, 4 the bucket, 5
--             the ledger itself) and the wait in 6; L late; F forgotten
--
-- To make a function costs as much as a command, so there are few.

local LATEST, REMEMBERED, MAX_WRITERS = 10000, 15000, 1024
local MAX_TOKENS, FOREVER = 2 ^ 40 - 1, 2 ^ 48 - 1
-- In the place of a limit that there is not, and of the level of a bucket that there is not.
local NO_LIMIT, NO_BUCKET = MAX_TOKENS, FOREVER
-- A token in the units of a level, how long tokens of a bucket are held at most (milliseconds), and the part of the burst
-- that is given up for it.
local TOKEN, LONGEST, PART = 60000, 2000, 10
-- With every so many writers that are new, those that are over are looked for.
local FEW = 32

local STATE, LAST, GRANTED = '>I6I6I5I5I5I5I5I5I5I5I6B', '>I6I6', '>I6I6I6I6I6I6I6I6I6I6B'
-- The fields of a state. A window's count is at COUNTS and twice its place, and the next one's behind it.
local NOW, BORN, COUNTS, LEVEL, LIMITED, FIELDS = 1, 2, 1, 11, 12, 12

-- The fields of the last grants: of each when it was, and behind that how much of it may be credited.
local LAST_GRANT, IS_CUT = 9, 11

local MINUTE, HOUR, DAY, MONTH = 1, 2, 3, 4
local LENGTH = { 60000, 3600000, 86400000 }
local floor, min, max = math.floor, math.min, math.max

-- The numbers of the windows that a time is in. A month's is that of the calendar, counted from the year 0: its years begin
-- in March, so that their odd day is the last.
local function numbers_at(at)
  local day = floor(at / LENGTH[DAY])
  local left = day + 719468
  local era = floor(left / 146097)
  left = left - era * 146097
  local year = floor((left - floor(left / 1460) + floor(left / 36524) - floor(left / 146096)) / 365)
  left = left - (365 * year + floor(year / 4) - floor(year / 100))
  local month = (era * 400 + year) * 12 + floor((5 * left + 2) / 153) + 2
  return { floor(at / LENGTH[MINUTE]), floor(at / LENGTH[HOUR]), day, month }
end

-- When the window of this number begins.
local function begin_of(window, number)
  if window < MONTH then
    return number * LENGTH[window]
  end
  local year = floor((number - 2) / 12)
  local month = number - 2 - 12 * year
  local leaps = floor(year / 4) - floor(year / 100) + floor(year / 400)
  return (365 * year + leaps + floor((153 * month + 2) / 5) - 719468) * LENGTH[DAY]
end

local writer, sequence, not_after, known, is_known, has_claims, is_ahead, cost, want, instances, at =
  struct.unpack('>c8I6I6I6BBBI5I5I5', ARGV[1])
local limits = { struct.unpack('>I5I5I5I5', ARGV[1], at) }
local burst, recent, returned, owed, items = struct.unpack('>I5BBB', ARGV[1], limits[5])
local rate = limits[MINUTE]

local held, last, grants = unpack(redis.call('HMGET', KEYS[1], 's', writer, 'g'))
local state = held and { struct.unpack(STATE, held) } or { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NO_BUCKET, 0 }

local granted = grants and { struct.unpack(GRANTED, grants) } or { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

-- The bucket holds no more than this: its level, and what may be credited.
local function hold_within(most)
  state[LEVEL] = min(state[LEVEL], most)
  local room = most - state[LEVEL]
  if granted[LAST_GRANT + 1] > room then
    granted[IS_CUT] = 1
  end
  for place = LAST_GRANT, 1, -2 do
    granted[place + 1] = min(granted[place + 1], room)
    room = room - granted[place + 1]
  end
end

-- The ledger's clock does not go back.
local before = state[NOW]
local now = max(min(store_time(), FOREVER), before)
state[NOW] = now
if state[BORN] == 0 then
  state[BORN] = max(now, 1)
end

-- The windows turn, and the bucket refills.
local present = numbers_at(now)
local has_turned = floor(before / LENGTH[MINUTE]) < present[MINUTE]
if has_turned then
  for window, number in ipairs(numbers_at(before)) do
    local place, turns = COUNTS + 2 * window, present[window] - number
    if turns > 0 then
      state[place], state[place + 1] = turns == 1 and state[place + 1] or 0, 0
    end
  end
end
local full, given_up, tau
local has_bucket = rate ~= NO_LIMIT and burst ~= NO_LIMIT
if has_bucket then
  full = burst * TOKEN
  given_up = min(floor(burst / PART), floor(rate * LONGEST / TOKEN))
  tau = floor(given_up * TOKEN / max(rate, 1))
  state[LEVEL] = state[LEVEL] == NO_BUCKET and full or state[LEVEL] + (now - before) * rate
  hold_within(full)
end

-- What only looks leaves nothing behind.
if sequence == 0 then
  return struct.pack(STATE, unpack(state, 1, FIELDS)) .. 'L'
end

-- The longest window with a limit, 0 if there is none.
local longest = 0
for window = MINUTE, MONTH do
  if limits[window] ~= NO_LIMIT then
    longest = window
  end
end

-- Not a loop: `break` is where the model returns.
local outcome, is_new = 'L', false
repeat
  local last_sequence, until_then, last_outcome = 0, nil, nil
  if last then
    last_sequence, until_then, last_outcome = struct.unpack(LAST, last)
    if until_then + REMEMBERED < now then
      last_sequence = 0
    end
  end
  if last_sequence == sequence then
    outcome = last:sub(last_outcome)
    break
  elseif last_sequence > sequence or not_after < now or not_after > now + LATEST then
    break
  elseif last_sequence == 0 then
    local writers = redis.call('HLEN', KEYS[1]) - (grants and 1 or 0)
    if writers > MAX_WRITERS or writers % FEW == 0 then
      local fields = redis.call('HGETALL', KEYS[1])
      writers = 0
      for i = 1, #fields, 2 do
        if #fields[i] == 8 then
          if struct.unpack('>I6', fields[i + 1], 7) + REMEMBERED < now then
            redis.call('HDEL', KEYS[1], fields[i])
          else
            writers = writers + 1
          end
        end
      end
      if writers >= MAX_WRITERS then
        outcome = struct.pack('>c1BI6', 'D', 5, 1000)
        break
      end
    end
  end
  if has_claims == 0 and is_known == 1 and known ~= state[BORN] then
    outcome = 'F'
    break
  end
  if is_ahead == 1 and (has_bucket or longest == 0) then
    break
  end
  is_new = true

  -- What was granted and is forgotten here, what comes back, and what was let in without a grant; each as far as it is of the
  -- present windows or the next ones.
  if has_claims == 1 then
    local before = { struct.unpack('>I5I5I5I5I5I5I5I5', ARGV[1], items) }
    for window = MINUTE, MONTH do
      if is_known == 1 and known ~= state[BORN] and before[2 * window - 1] == present[window] then
        local place = COUNTS + 2 * window
        state[place] = min(state[place] + before[2 * window], MAX_TOKENS)
      end
    end
    items = before[9]
  end
  -- Of what is recent the call it was granted by, of what comes back when it was granted.
  local origins = items
  items = items + 6 * (recent + returned)
  for i = 1, recent + returned + owed do
    if i > recent or struct.unpack('>I6', ARGV[1], origins + 6 * (i - 1)) > last_sequence then
      local item = { struct.unpack('>I5I5I5I5I5', ARGV[1], items) }
      local comes_back = i > recent and i <= recent + returned
      local tokens = comes_back and -item[5] or item[5]
      for window = MINUTE, MONTH do
        local next = item[window] - present[window]
        if next == 0 or next == 1 then
          local place = COUNTS + 2 * window + next
          state[place] = max(min(state[place] + tokens, MAX_TOKENS), 0)
        end
      end
      if comes_back and state[LEVEL] ~= NO_BUCKET then
        local origin = struct.unpack('>I6', ARGV[1], origins + 6 * (i - 1))
        for place = 1, LAST_GRANT, 2 do
          if granted[place] == origin then
            local credited = min(item[5] * TOKEN, granted[place + 1])
            granted[place + 1] = granted[place + 1] - credited
            state[LEVEL] = state[LEVEL] + credited
            break
          end
        end
      elseif state[LEVEL] ~= NO_BUCKET and tokens > 0 and item[MINUTE] == present[MINUTE] then
        state[LEVEL] = max(state[LEVEL] - tokens * TOKEN, 0)
      end
    end
    items = items + 25
  end

  local from, numbers = now, present
  if is_ahead == 1 then
    from = FOREVER
    for window = MINUTE, MONTH do
      if limits[window] ~= NO_LIMIT then
        from = min(from, begin_of(window, present[window] + 1))
      end
    end
    numbers = numbers_at(from)
  end
  local room, until_when, short = MAX_TOKENS, FOREVER, nil
  for window = MINUTE, MONTH do
    if limits[window] ~= NO_LIMIT then
      local ends = begin_of(window, numbers[window] + 1)
      local left = max(limits[window] - state[COUNTS + 2 * window + (numbers[window] > present[window] and 1 or 0)], 0)
      if left < cost then
        short = struct.pack('>c1BI6', 'D', window - 1, ends - now)
        break
      end
      room, until_when = min(room, left), min(until_when, ends)
    end
  end
  if short then
    outcome = short
    break
  end
  local share = 2 * max(instances, 1)
  local tokens = cost + min(want, floor((room - cost) / share))
  if has_bucket then
    local level = state[LEVEL]
    if floor(level / TOKEN) < cost then
      outcome = struct.pack('>c1BI6', 'D', 4, min(math.ceil((cost * TOKEN - level) / max(rate, 1)), FOREVER))
      break
    end
    local most = full - given_up * TOKEN
    if tau == 0 or cost > given_up then
      tokens = cost
    else
      tokens = min(tokens, cost + floor(max(floor(min(level, most) / TOKEN) - cost, 0) / share))
    end
    if tokens > cost then
      hold_within(most)
      until_when = min(until_when, now + tau)
    else
      until_when = min(until_when, now)
    end
    state[LEVEL] = state[LEVEL] - tokens * TOKEN
    if tokens > 0 and granted[LAST_GRANT] ~= now then
      for i = 1, LAST_GRANT - 1 do
        granted[i] = granted[i + 2]
      end
      granted[LAST_GRANT], granted[LAST_GRANT + 1], granted[IS_CUT] = now, 0, 0
    end
    if granted[IS_CUT] == 0 then
      granted[LAST_GRANT + 1] = granted[LAST_GRANT + 1] + tokens * TOKEN
    end
  end
  for window = MINUTE, MONTH do
    local place = COUNTS + 2 * window + (numbers[window] > present[window] and 1 or 0)
    state[place] = min(state[place] + tokens, MAX_TOKENS)
  end
  outcome = struct.pack('>c1I5I6I6', 'G', tokens, from, until_when)
until true

-- Until when it is kept changes when a window turns, or a longer one is limited; limits that go for a while shorten nothing.
longest = max(longest, MINUTE)
local is_kept = not has_turned and state[LIMITED] >= longest
longest = max(longest, state[LIMITED])
state[LIMITED] = longest
local packed = struct.pack(STATE, unpack(state, 1, FIELDS))
local fields = { 's', packed }
if is_new then
  fields[3], fields[4] = writer, struct.pack(LAST, sequence, not_after) .. outcome
end
if state[LEVEL] ~= NO_BUCKET then
  fields[#fields + 1] = 'g'
  fields[#fields + 1] = struct.pack(GRANTED, unpack(granted, 1, IS_CUT))
end
redis.call('HSET', KEYS[1], unpack(fields))
if not is_kept then
  redis.call('PEXPIREAT', KEYS[1], begin_of(longest, present[longest] + 2) + REMEMBERED)
end
return packed .. outcome
