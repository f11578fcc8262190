#!lua
-- Accept jobs of one user: all of them or none.
-- Guarantee: one atomic step with the idempotency key, the limits and the token's revocation. Cost: O(log n) of the lane.
-- include: keys, time, ticks, bands, events, ring, revocations
-- KEYS[1] prefix
-- ARGV[1] user
-- ARGV[2] idempotency key, '' for none   ARGV[3] fingerprint of the request   ARGV[4] its time to live, ms
-- ARGV[5] maximum of jobs in the lane   ARGV[6] maximum of ended jobs that wait for MongoDB
-- ARGV[7] maximum of jobs a second, 0 = no limit   ARGV[8] token id, '' for none
-- ARGV[9] maximum of bytes in the lane, 0 = no limit   ARGV[10] jobs that fit into it whatever their size
-- ARGV[11] time of the log-in that the token stands for, Unix ms; 0 for an API key
-- ARGV[12..] for each job: nonce (12 hex digits), spec (lines: user, type, max attempts; then the request, JSON text)
-- Reply: {'accepted', position of the first, id...} | {'repeated', position of the first or 0, id...}
--        | {'mismatch'} | {'full', ms to wait} | {'heavy', ms to wait} | {'fast', ms to wait} | {'backlog', ms to wait} | {'revoked'}
local user, key, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local lane = lane_key(user)
local SAMPLE = 16
local count = (#ARGV - 11) / 2
if count == 0 then return { 'accepted', 0 } end

if ARGV[8] ~= '' and is_revoked(user, ARGV[8], tonumber(ARGV[11])) then return { 'revoked' } end

local function position_of(id)
  local score = redis.call('ZSCORE', lane, id)
  if not score or not is_startable(score) then return 0 end
  return redis.call('ZCOUNT', lane, int(DUE), score)
end

-- Bytes of the lane with the new jobs. What it holds is estimated by a sample: a counter could drift.
local function bytes_held(jobs)
  local new, sampled = 0, 0
  for i = 13, #ARGV, 2 do new = new + #ARGV[i] end
  if jobs == 0 then return new end
  local sample = redis.call('ZRANDMEMBER', lane, SAMPLE)
  for _, id in ipairs(sample) do sampled = sampled + redis.call('STRLEN', spec_key(id)) end
  return new + sampled * jobs / #sample
end

local idem_key = P .. 'idem:' .. user .. ':' .. key
if key ~= '' then
  local known = redis.call('GET', idem_key)
  if known then
    local blank = string.find(known, ' ', 1, true)
    if string.sub(known, 1, blank - 1) ~= fingerprint then return { 'mismatch' } end
    local reply = { 'repeated', 0 }
    for id in string.gmatch(string.sub(known, blank), '%S+') do reply[#reply + 1] = id end
    reply[2] = position_of(reply[3])
    return reply
  end
end

local held = redis.call('ZCARD', lane)
if held + count > tonumber(ARGV[5]) then return { 'full', 1000 } end
if tonumber(ARGV[9]) > 0 and held + count > tonumber(ARGV[10]) and bytes_held(held) > tonumber(ARGV[9]) then
  return { 'heavy', 1000 }
end
if redis.call('LLEN', P .. 'outbox') >= tonumber(ARGV[6]) then return { 'backlog', 1000 } end
local rate, spent_us = tonumber(ARGV[7]), nil
if rate > 0 then -- GCRA with a burst of one second
  spent_us = math.max(now_us, tonumber(redis.call('GET', P .. 'rate:' .. user) or '0'))
  if spent_us > now_us + 1000000 then return { 'fast', math.ceil((spent_us - now_us - 1000000) / 1000) } end
  spent_us = spent_us + count * 1000000 / rate
end

local seq, reply = tick(count), { 'accepted', 0 } -- no unpack: a batch may have more jobs than Lua's stack has room for
if spent_us then redis.call('SET', P .. 'rate:' .. user, int(spent_us), 'PX', math.ceil((spent_us - now_us) / 1000) + 1) end
for i = 0, count - 1 do
  local id = string.format('%013x', seq + i) .. ARGV[12 + 2 * i]
  redis.call('SET', spec_key(id), ARGV[13 + 2 * i])
  redis.call('ZADD', lane, score_in(WAITING, seq + i), id)
  publish(user, id, 'queued', 0)
  reply[i + 3] = id
end
if held == 0 then redis.call('ZADD', P .. 'lanes', 0, user) end
if key ~= '' then redis.call('SET', idem_key, fingerprint .. ' ' .. table.concat(reply, ' ', 3), 'PX', ARGV[4]) end
reply[2] = redis.call('ZCOUNT', lane, int(DUE), int(seq))
if reply[2] == 1 then touch(user) end -- behind others: the lane is in the ring already, or may not be
flush_ring()
return reply
