"""What is counted, as Redis runs it: each script one round trip, whole or not at all.

A counter is `quota:bucket:{bucket}:{resource}`. What a bunker holds is stashed in
`quota:bunker:{bunker_id}`: a hash of the counters with how much of each, and `at`, when it was held last
(seconds by Redis' clock). `quota:epoch` says that the counters are whole, and which ones they are; while
it is missing nothing is held, and what is let go before its stash is made again is remembered in
`quota:ended`.
"""

HOLD = """
-- KEYS: epoch, stash, counters. ARGV: for each counter its amount and its cap (-1: none).
-- Answer: the epoch; or nothing; or the number of the counter that is full, and what it is at.
local epoch = redis.call('GET', KEYS[1])
if not epoch then return {} end
local at = redis.call('TIME')[1]
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HSET', KEYS[2], 'at', at)
  return {epoch}
end
local stash = {'at', at}
for i = 3, #KEYS do
  local amount, cap = tonumber(ARGV[2 * i - 5]), tonumber(ARGV[2 * i - 4])
  if cap >= 0 then
    local current = tonumber(redis.call('GET', KEYS[i])) or 0
    if current + amount > cap then return {'', i - 2, current} end
  end
  stash[#stash + 1] = KEYS[i]
  stash[#stash + 1] = amount
end
for i = 3, #stash, 2 do redis.call('INCRBY', stash[i], stash[i + 1]) end
redis.call('HSET', KEYS[2], unpack(stash))
return {epoch}
"""

LET_GO = """
-- KEYS: epoch, stash, ended. ARGV: the bunker; how old the stash must be in s. Answer: 1 if it held.
local stash = redis.call('HGETALL', KEYS[2])
if #stash == 0 then
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SADD', KEYS[3], ARGV[1])
    redis.call('EXPIRE', KEYS[3], 600)
  end
  return 0
end
local now = tonumber(redis.call('TIME')[1])
for i = 1, #stash, 2 do
  if stash[i] == 'at' and now - tonumber(stash[i + 1]) < tonumber(ARGV[2]) then return 0 end
end
for i = 1, #stash, 2 do
  if stash[i] ~= 'at' and redis.call('DECRBY', stash[i], stash[i + 1]) <= 0 then
    redis.call('DEL', stash[i])
  end
end
redis.call('DEL', KEYS[2])
return 1
"""

RESIZE = """
-- KEYS: epoch, stash, resized, counters. ARGV: the revision; how long that is remembered in s; whether a
-- bunker that holds nothing may begin to; for each counter its amount and its cap (-1: none).
-- Answer: the epoch; or nothing; or the number of the counter that is full, and what it is at.
local epoch = redis.call('GET', KEYS[1])
if not epoch then return {} end
if (tonumber(redis.call('GET', KEYS[3])) or -1) > tonumber(ARGV[1]) then return {epoch} end
local found, old = redis.call('HGETALL', KEYS[2]), {}
if #found == 0 and ARGV[3] == '0' then return {epoch} end
for i = 1, #found, 2 do
  if found[i] ~= 'at' then old[found[i]] = tonumber(found[i + 1]) end
end
for i = 4, #KEYS do
  local amount, cap = tonumber(ARGV[2 * i - 4]), tonumber(ARGV[2 * i - 3])
  local more = amount - (old[KEYS[i]] or 0)
  if more > 0 and cap >= 0 then
    local current = tonumber(redis.call('GET', KEYS[i])) or 0
    if current + more > cap then return {'', i - 3, current, more} end
  end
end
local stash = {'at', redis.call('TIME')[1]}
for i = 4, #KEYS do
  local amount = tonumber(ARGV[2 * i - 4])
  redis.call('INCRBY', KEYS[i], amount - (old[KEYS[i]] or 0))
  old[KEYS[i]] = nil
  stash[#stash + 1] = KEYS[i]
  stash[#stash + 1] = amount
end
for name, amount in pairs(old) do
  if redis.call('DECRBY', name, amount) <= 0 then redis.call('DEL', name) end
end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], unpack(stash))
redis.call('SET', KEYS[3], ARGV[1], 'EX', ARGV[2])
return {epoch}
"""

SETTLE = """
-- KEYS: epoch, stash, resized, counters. ARGV: the epoch; `at` of the stash; an amount for each counter.
-- Answer: 1 if the bunker holds that now; 0 if it does, or something else has happened to it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
if redis.call('HGET', KEYS[2], 'at') ~= ARGV[2] then return 0 end
local found, wanted = redis.call('HGETALL', KEYS[2]), {}
for i = 4, #KEYS do wanted[KEYS[i]] = tonumber(ARGV[i - 1]) end
local changed = 0
for i = 1, #found, 2 do
  local less = found[i] ~= 'at' and tonumber(found[i + 1]) - (wanted[found[i]] or 0) or 0
  if less > 0 then
    changed = 1
    if redis.call('DECRBY', found[i], less) <= 0 then redis.call('DEL', found[i]) end
    if wanted[found[i]] then
      redis.call('HSET', KEYS[2], found[i], wanted[found[i]])
    else
      redis.call('HDEL', KEYS[2], found[i])
    end
  end
end
return changed
"""

CLEAR = """
-- KEYS: lock, epoch, what to forget. ARGV: whose the lock is, ms. Answer: 1 if it still is.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
return 1
"""

PUT_BACK = """
-- KEYS: what must be so, stash, ended, counters. ARGV: its value; the bunker; an amount for each counter.
-- Answer: 1 if it was put back, 0 if it is there or has ended, -1 if it is not so.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('SISMEMBER', KEYS[3], ARGV[2]) == 1 then return 0 end
local stash = {'at', redis.call('TIME')[1]}
for i = 4, #KEYS do
  redis.call('INCRBY', KEYS[i], ARGV[i - 1])
  stash[#stash + 1] = KEYS[i]
  stash[#stash + 1] = ARGV[i - 1]
end
redis.call('HSET', KEYS[2], unpack(stash))
return 1
"""

GO_ON = """
-- KEYS: lock. ARGV: whose it is, ms. Answer: 1 if it still is.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""

FINISH = """
-- KEYS: lock, epoch, ended. ARGV: whose the lock is; the epoch. Answer: 1 if the counters count now.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1], KEYS[3])
return 1
"""

DISTRUST = """
-- KEYS: epoch. ARGV: which one.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0
"""
