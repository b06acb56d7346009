-- Keeps an entry at the end of an organization's audit, unless it is kept already or is to close what is closed.
--
-- KEYS    1 the entries  2 the acts that are open  3 how far it has come  4 that this entry is kept
--         5 the organizations that have an audit
-- ARGV    1 the act  2 what the entry is: 0 an intent, 1 an outcome, 2 an outcome that is kept only if it closes the act, 3 alone
--         3 the entry  4 for how long it is remembered, milliseconds  5 the organization
-- returns its sequence, or nil when the act is closed

local known = redis.call('GET', KEYS[4])
if known then
  return known
end
local closes = ARGV[2] == '1' or ARGV[2] == '2'
if closes then
  closes = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if ARGV[2] == '2' and not closes then
    return false
  end
end
local last = tonumber(redis.call('HGET', KEYS[3], 'last') or '0')
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if newest then
  last = math.max(last, tonumber(newest[1]:match('^%d+')))
end
local sequence = string.format('%.0f', last + 1)
redis.call('XADD', KEYS[1], sequence .. '-0', 'e', ARGV[3])
redis.call('HSET', KEYS[3], 'last', sequence)
redis.call('ZADD', KEYS[5], 0, ARGV[5])
if ARGV[2] == '0' then
  redis.call('ZADD', KEYS[2], sequence, ARGV[1])
elseif closes then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('SET', KEYS[4], sequence, 'PX', ARGV[4])
return sequence
