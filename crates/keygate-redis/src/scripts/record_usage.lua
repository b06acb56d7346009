-- Takes in batches of what was counted: says what keygate_core::usage::book says, in the same order.
--
-- A batch is looked at before anything of it is written: a subject with an entry that is not as it should be is passed over, and
-- all that there is of it stays as it was. The mark is written first, so that what is cut off nevertheless is not counted twice.
--
-- KEYS    1 the writer's mark; then of each batch's subjects, in their order: the series; the record, of a key; for each hour
--         its day's breakdown; for each lot of addresses the set and the estimate; for each month its ranking
-- ARGV    1 the batches, packed with MessagePack: an array of one array for each, which is flat
-- returns { 'mark', the mark then, 8 bytes, then the names of entries that cannot be added to, whose subjects were passed over },
--         { 'damaged', the name of the mark where that is none } or { 'ahead', the time, 8 bytes } where a batch tells of what is
--         later than an hour from now, and nothing is taken in
--
-- batch   the mark before it, 8 bytes  its own  the place of its first key  where its subjects begin in this array
--         how many there are  the latest time in it, then rows for hours, then the subjects
-- row     of an hour that occurs: its number, its day's, its month's; when the breakdown of its day ends; and where the
--         series has this hour, this day and this month, as BITFIELD takes it
-- subject whether it was in this batch before; whether it is a key, of which nothing is taken in unless it has a record; how
--         many keys it has above; where the next begins; how many hours, then each: where its row is, whether this breakdown was in this
--         batch before, the number of requests, how many fields, how many of these are of totals, all fields, all their counts,
--         and where the series has those that are totals; how many lots of addresses, then each: when it ends, whether this
--         month was in this batch before, how many, and they; how many months of a ranking, then each: when it ends, how many
--         keys, they, and their counts; when it was last used in milliseconds, 0 for never, else followed by the bytes
--         of the series for it; the same for its last error
--
-- Counts are text, because Lua's numbers are exact up to 2^53 only, and because Redis writes each number anew that it is given.

local HEADER, LENGTH, VERSION = 66, 2920, '\0\0\0\1'
-- Where the series has its rings, how many there are in each, and how many bytes each takes.
local HOURS, DAYS, MONTHS = { 552, 192, 4 }, { 1320, 400, 4 }, { 264, 36, 8 }
local MAX_FIELDS, EXACTLY, RANKED = 96, 64, 2048
local OTHER_ENDPOINT, OTHER_LOCATION = 'eother', 'l'
local MAX_COUNT = '9223372036854775807'
-- Of a series that is not used: 36 months, and days to spare. It begins anew with each day's breakdown.
local SERIES_KEPT, MARK_KEPT = 1126 * 86400000, 30 * 86400000
-- How far what is told may be ahead of the time.
local AHEAD = 3600000
-- What Lua unpacks at once.
local MANY = 1000

local call, pcall, byte, pack = redis.call, redis.pcall, string.byte, struct.pack
local now = store_time()

-- The answer where this is what there is in the place of an entry.
local function not_to_be_added_to(name, held)
  if type(held) == 'table' and held.err and not held.err:find('WRONGTYPE', 1, true) then
    return held
  end
  return { 'damaged', name }
end

local function is_error(held)
  return type(held) == 'table' and held.err
end

-- Makes room for a newer period in a ring: what is in the places of those that were skipped goes.
local function turn(series, ring, newest, number)
  local at, size, width = ring[1], ring[2], ring[3]
  local many = math.min(number - newest, size)
  local first = (number - many + 1) % size
  local front = math.min(many, size - first)
  call('SETRANGE', series, at + first * width, string.rep('\0', front * width))
  if many > front then
    call('SETRANGE', series, at, string.rep('\0', (many - front) * width))
  end
end

-- What is to be done with addresses: false nothing, 1 add to the set, 2 to the estimate; nil and an answer if neither can be.
local function look_at_addresses(set, estimate, batch, from, to)
  local are = pcall('SMISMEMBER', set, unpack(batch, from, to))
  if are.err then
    return nil, not_to_be_added_to(set, are)
  end
  local there = 0
  for i = 1, #are do
    there = there + are[i]
  end
  if there == #are then
    return false
  elseif there > 0 then
    return 1
  end
  local magic = pcall('GETRANGE', estimate, '0', '3')
  if magic == '' then
    return 1
  elseif magic == 'HYLL' then
    return 2
  end
  return nil, not_to_be_added_to(estimate, magic)
end

-- Puts what there is of a subject's entries that are read before they are written behind what is held, in order. How much is
-- held then, or nil and an answer.
local function look_at_subject(batch, held, h, key, at)
  local name, is_key, hours = KEYS[key], batch[at + 1], batch[at + 4]
  local header = pcall('GETRANGE', name, '0', '65')
  if header ~= '' then
    if is_error(header) then
      return nil, not_to_be_added_to(name, header)
    end
    local a, b, c, d = byte(header, 1, 4)
    if d ~= 1 or c ~= 0 or b ~= 0 or a ~= 0 then
      return nil, { 'damaged', name }
    end
  end
  h, key, at = h + 1, key + 1 + is_key, at + 5
  held[h] = header
  for _ = 1, hours do
    local fields = batch[at + 3]
    local found = false
    if fields > 0 and batch[at + 1] == 0 and batch[batch[at] + 3] > now then
      found = pcall('HLEN', KEYS[key])
      if is_error(found) then
        return nil, not_to_be_added_to(KEYS[key], found)
      end
    end
    h, key, at = h + 1, key + 1, at + 5 + 2 * fields + batch[at + 4]
    held[h] = found
  end
  local lots = batch[at]
  at = at + 1
  for _ = 1, lots do
    local many = batch[at + 2]
    local found = false
    if batch[at + 1] == 0 and batch[at] > now then
      local answer
      found, answer = look_at_addresses(KEYS[key], KEYS[key + 1], batch, at + 3, at + 2 + many)
      if answer then
        return nil, answer
      end
    end
    h, key, at = h + 1, key + 2, at + 3 + many
    held[h] = found
  end
  local months = batch[at]
  at = at + 1
  for _ = 1, months do
    local card = pcall('ZCARD', KEYS[key])
    if is_error(card) then
      return nil, not_to_be_added_to(KEYS[key], card)
    end
    key, at = key + 1, at + 2 + 2 * batch[at + 1]
  end
  return h
end

-- The answer, in which the mark comes before the names of what was passed over.
local done = { 'mark', '' }

-- Whether all keys of a batch have a record, as those in use do: one call tells of all of them.
local function have_records(batch)
  local records, many, key, at = {}, 0, batch[3], batch[4]
  for _ = 1, batch[5] do
    if batch[at + 1] == 1 then
      many = many + 1
      records[many] = KEYS[key + 1]
    end
    key, at = key + batch[at + 2], batch[at + 3]
  end
  for first = 1, many, MANY do
    local last = math.min(first + MANY - 1, many)
    if call('EXISTS', unpack(records, first, last)) <= last - first then
      return false
    end
  end
  return true
end

-- The same of all subjects of a batch, with false in the place of one of which nothing is to be taken in; or nil and an answer.
local function look(batch)
  local held, damaged, h, key, at = {}, {}, 0, batch[3], batch[4]
  local all_have = have_records(batch)
  for _ = 1, batch[5] do
    local next_h, answer = h + 1, nil
    held[next_h] = false
    if not damaged[KEYS[key]] and (batch[at + 1] == 0 or all_have or call('EXISTS', KEYS[key + 1]) == 1) then
      next_h, answer = look_at_subject(batch, held, h, key, at)
      if is_error(answer) then
        return nil, answer
      elseif answer then
        damaged[KEYS[key]], done[#done + 1] = true, answer[2]
        next_h, held[h + 1] = h + 1, false
      end
    end
    h = next_h
    key, at = key + batch[at + 2], batch[at + 3]
  end
  return held
end

local add, set, blank = { 'OVERFLOW', 'SAT' }, {}, nil

-- Adds what was counted in an hour to the breakdown of its day, in which there are so many fields.
local function break_down(name, there, batch, at, count, totals)
  local found = there + count > MAX_FIELDS and call('HMGET', name, unpack(batch, at + 1, at + count))
  for i = 1, count do
    local field, more = batch[at + i], batch[at + count + i]
    if found and not found[i] then
      if i > totals then
        if there >= MAX_FIELDS then
          field = byte(field) == 101 and OTHER_ENDPOINT or OTHER_LOCATION
        end
        if field == OTHER_ENDPOINT or field == OTHER_LOCATION then
          -- It may have come to be since.
          there = there - call('HEXISTS', name, field)
        end
      end
      there = there + 1
    end
    local sum = pcall('HINCRBY', name, field, more)
    if is_error(sum) and sum.err:find('overflow', 1, true) then
      call('HSET', name, field, MAX_COUNT)
    end
  end
end

-- Adds a subject, of which this is held from there on. How much of it is done with then.
local function add_subject(batch, held, h, key, at)
  local series, header, hours = KEYS[key], held[h + 1], batch[at + 4]
  if batch[at] == 1 then
    header = call('GETRANGE', series, '0', '65')
  end
  h, key, at = h + 1, key + 1 + batch[at + 1], at + 5
  local is_new = header == ''
  if is_new then
    blank = blank or VERSION .. string.rep('\0', LENGTH - #VERSION)
    call('SET', series, blank, 'PXAT', now + SERIES_KEPT)
  end
  if #header < HEADER then
    header = header .. string.rep('\0', HEADER - #header)
  end
  local _, newest_hour, newest_day, newest_month, last = struct.unpack('>I4I4I4I4i8', header)
  local has_turned = false

  for _ = 1, hours do
    local row, requests, fields, totals = batch[at], batch[at + 2], batch[at + 3], batch[at + 4]
    local hour, day, month = batch[row], batch[row + 1], batch[row + 2]
    local counts, places, a = at + 4 + fields, at + 4 + 2 * fields, 2
    for i = 1, totals do
      add[a + 1], add[a + 2], add[a + 3], add[a + 4] = 'INCRBY', 'i64', batch[places + i], batch[counts + i]
      a = a + 4
    end
    if hour > newest_hour then
      if not is_new then
        turn(series, HOURS, newest_hour, hour)
      end
      newest_hour, has_turned = hour, true
    end
    if newest_hour - hour < HOURS[2] then
      add[a + 1], add[a + 2], add[a + 3], add[a + 4] = 'INCRBY', 'u32', batch[row + 4], requests
      a = a + 4
    end
    if day > newest_day then
      if not is_new then
        turn(series, DAYS, newest_day, day)
      end
      newest_day, has_turned = day, true
    end
    if newest_day - day < DAYS[2] then
      add[a + 1], add[a + 2], add[a + 3], add[a + 4] = 'INCRBY', 'u32', batch[row + 5], requests
      a = a + 4
    end
    if month > newest_month then
      if not is_new then
        turn(series, MONTHS, newest_month, month)
      end
      newest_month, has_turned = month, true
    end
    if newest_month - month < MONTHS[2] then
      add[a + 1], add[a + 2], add[a + 3], add[a + 4] = 'INCRBY', 'i64', batch[row + 6], requests
      a = a + 4
    end
    -- The next hour turns the rings of a series that is not empty any more.
    is_new = false
    if a > 2 then
      call('BITFIELD', series, unpack(add, 1, a))
    end
    if fields > 0 and batch[row + 3] > now then
      local there = held[h + 1] or call('HLEN', KEYS[key])
      break_down(KEYS[key], there, batch, at + 4, fields, totals)
      if there == 0 then
        call('PEXPIREAT', KEYS[key], batch[row + 3])
        call('PEXPIREAT', series, now + SERIES_KEPT)
      end
    end
    h, key, at = h + 1, key + 1, places + totals + 1
  end

  local lots = batch[at]
  at = at + 1
  for _ = 1, lots do
    local ends, from, to, found = batch[at], at + 3, at + 2 + batch[at + 2], held[h + 1]
    local addresses, estimate = KEYS[key], KEYS[key + 1]
    if batch[at + 1] == 1 and ends > now then
      found = look_at_addresses(addresses, estimate, batch, from, to)
    end
    if found == 1 then
      local added = call('SADD', addresses, unpack(batch, from, to))
      local many = call('SCARD', addresses)
      if many > EXACTLY then
        call('PFADD', estimate, unpack(call('SMEMBERS', addresses)))
        call('PEXPIREAT', estimate, ends)
        call('UNLINK', addresses)
      elseif many == added then
        call('PEXPIREAT', addresses, ends)
      end
    elseif found then
      call('PFADD', estimate, unpack(batch, from, to))
    end
    h, key, at = h + 1, key + 2, to + 1
  end

  local months = batch[at]
  at = at + 1
  for _ = 1, months do
    local ends, many, ranking = batch[at], batch[at + 1], KEYS[key]
    at = at + 1
    if ends > now then
      local added = 0
      for first = 1, many, MANY do
        local last_one = math.min(first + MANY - 1, many)
        local scores = call('ZMSCORE', ranking, unpack(batch, at + first, at + last_one))
        for i = 1, #scores do
          set[2 * i - 1] = (tonumber(scores[i] or 0) or 0) + batch[at + many + first + i - 1]
          set[2 * i] = batch[at + first + i - 1]
        end
        added = added + call('ZADD', ranking, unpack(set, 1, 2 * #scores))
      end
      if added > 0 then
        local card = call('ZCARD', ranking)
        if card == added then
          call('PEXPIREAT', ranking, ends)
        end
        if card > 2 * RANKED then
          call('ZREMRANGEBYRANK', ranking, 0, -RANKED - 1)
        end
      end
    end
    key, at = key + 1, at + 2 * many + 1
  end

  if has_turned then
    call('SETRANGE', series, '4', pack('>I4I4I4', newest_hour, newest_day, newest_month))
  end
  local used = batch[at]
  at = at + 1
  if used ~= 0 then
    if last == 0 or used > last then
      call('SETRANGE', series, '16', batch[at])
    end
    at = at + 1
  end
  local failed = batch[at]
  if failed ~= 0 then
    local before = struct.unpack('>i8', header, 58)
    if before == 0 or failed > before then
      call('SETRANGE', series, '57', batch[at + 1])
    end
  end
  return h
end

local function take_in(batch, held)
  local h, key, at = 0, batch[3], batch[4]
  for _ = 1, batch[5] do
    if held[h + 1] then
      h = add_subject(batch, held, h, key, at)
    else
      h = h + 1
    end
    key, at = key + batch[at + 2], batch[at + 3]
  end
end

local mark = pcall('GET', KEYS[1]) or string.rep('\0', 8)
if is_error(mark) or #mark ~= 8 then
  return not_to_be_added_to(KEYS[1], mark)
end
local batches = cmsgpack.unpack(ARGV[1])
for _, batch in ipairs(batches) do
  if batch[6] > now + AHEAD then
    return { 'ahead', pack('>i8', now) }
  end
end
for _, batch in ipairs(batches) do
  if batch[1] == mark then
    local held, answer = look(batch)
    if not held then
      return answer
    end
    mark = batch[2]
    call('SET', KEYS[1], mark, 'PX', MARK_KEPT)
    take_in(batch, held)
  end
end
done[2] = mark
return done
