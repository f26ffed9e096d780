"""The sliding window, as Redis runs it: one round trip, atomic, by Redis' own clock.

Each key counts the requests of the current stretch of time and of the one before. What counts is the
current one, and that part of the one before which the window still reaches: an estimate that is exact
for an even load and never further off than the load was uneven, in constant space. A request that is
refused by one key is counted by none.

KEYS: the windows. ARGV: length in ms, then each window's limit.
Answer: 1 if refused; the index of the tightest window; what is left of it; ms until there is more.
"""

WINDOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local length = tonumber(ARGV[1])
local stretch = math.floor(now / length)
local passed = now - stretch * length
local counts = {}
local refused, tightest, left, wait = 0, 0, nil, 0
for i, key in ipairs(KEYS) do
  local limit = tonumber(ARGV[i + 1])
  local held = redis.call('HMGET', key, 'stretch', 'current', 'before')
  local of, current, before = tonumber(held[1]), tonumber(held[2]) or 0, tonumber(held[3]) or 0
  if of ~= stretch then
    before = of == stretch - 1 and current or 0
    current = 0
  end
  local free = limit - current - math.floor(before * (length - passed) / length)
  if free <= 0 then
    local pause
    if current >= limit then
      pause = length - passed + math.ceil((1 - limit / current) * length) + 1
    else
      pause = math.ceil((1 - (limit - current) / before) * length) - passed + 1
    end
    if refused == 0 or pause > wait then
      tightest, wait = i, pause
    end
    refused = 1
  elseif refused == 0 and (left == nil or free < left) then
    tightest, left = i, free
  end
  counts[i] = {current, before}
end
if refused == 1 then
  return {1, tightest, 0, math.max(wait, 1)}
end
for i, key in ipairs(KEYS) do
  redis.call('HSET', key, 'stretch', stretch, 'current', counts[i][1] + 1, 'before', counts[i][2])
  redis.call('PEXPIRE', key, 2 * length)
end
return {0, tightest, left - 1, length - passed}
"""
