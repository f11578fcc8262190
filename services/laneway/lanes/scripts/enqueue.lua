#!lua
-- Accept jobs of one user: all of them or none.
-- Guarantee: one atomic step with the idempotency key, the limits and the token's revocation. Cost: O(log n) of the lane; of
-- all delayed jobs for a job that is delayed.
-- include: keys, time, ticks, bands, events, ring, revocations, turns, delays, delaying, bytes
-- KEYS[1] prefix
-- ARGV[1] user
-- ARGV[2] idempotency key, '' for none   ARGV[3] fingerprint of the request   ARGV[4] its time to live, ms
-- ARGV[5] maximum of jobs in the lane   ARGV[6] maximum of ended jobs that wait for MongoDB
-- ARGV[7] maximum of jobs a second, 0 = no limit   ARGV[8] token id, '' for none
-- ARGV[9] maximum of bytes in the lane, 0 = no limit   ARGV[10] jobs that fit into it whatever their size
-- ARGV[11] time of the log-in that the token stands for, Unix ms; 0 for an API key
-- ARGV[12..] for each job: nonce (12 hex digits), when it enters its lane (microseconds since 2020, or '+' and microseconds
--   from now; '' at once), spec (lines: user, type, max attempts; then the request, JSON text)
-- Reply: {'accepted', position of the first, id...} | {'repeated', position of the first or 0, id...}
--        | {'mismatch'} | {'full', ms to wait} | {'heavy', ms to wait} | {'fast', ms to wait} | {'backlog', ms to wait} | {'revoked'}
local user, key, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local lane, count = lane_key(user), (#ARGV - 11) / 3
if count == 0 then return { 'accepted', 0 } end

if ARGV[8] ~= '' and is_revoked(user, ARGV[8], tonumber(ARGV[11])) then return { 'revoked' } end

local idem_key = P .. 'idem:' .. user .. ':' .. key
if key ~= '' then
  local known = redis.call('GET', idem_key)
  if known then
    local blank = string.find(known, ' ', 1, true)
    if string.sub(known, 1, blank - 1) ~= fingerprint then return { 'mismatch' } end
    local reply = { 'repeated', 0 }
    for id in string.gmatch(string.sub(known, blank), '%S+') do reply[#reply + 1] = id end
    local score = redis.call('ZSCORE', lane, reply[3])
    if score and is_startable(score) then reply[2] = redis.call('ZCOUNT', lane, int(DUE), score) end
    return reply
  end
end

local in_lane, delayed = redis.call('ZCARD', lane), redis.call('ZCARD', delayed_key(user))
local held = in_lane + delayed + count
if held > tonumber(ARGV[5]) then return { 'full', 1000 } end
if tonumber(ARGV[9]) > 0 and held > tonumber(ARGV[10]) then
  local bytes = estimate_bytes(lane, in_lane, spec_key) + estimate_bytes(delayed_key(user), delayed, later_key)
  for i = 14, #ARGV, 3 do bytes = bytes + #ARGV[i] end
  if bytes > tonumber(ARGV[9]) then return { 'heavy', 1000 } end
end
if redis.call('LLEN', P .. 'outbox') >= tonumber(ARGV[6]) then return { 'backlog', 1000 } end
local rate, spent_us = tonumber(ARGV[7]), nil
if rate > 0 then -- GCRA with a burst of one second
  spent_us = math.max(now_us, tonumber(redis.call('GET', P .. 'rate:' .. user) or '0'))
  if spent_us > now_us + 1000000 then return { 'fast', math.ceil((spent_us - now_us - 1000000) / 1000) } end
  spent_us = spent_us + count * 1000000 / rate
end

for i = 13, #ARGV, 3 do if ARGV[i] ~= '' then check_delayed() break end end
local seq, reply = tick(count), { 'accepted', 0 } -- no unpack: a batch may have more jobs than Lua's stack has room for
if spent_us then redis.call('SET', P .. 'rate:' .. user, int(spent_us), 'PX', math.ceil((spent_us - now_us) / 1000) + 1) end
local first_seq -- of the jobs that enter at once
for i = 0, count - 1 do
  local nonce, delay, spec = ARGV[12 + 3 * i], ARGV[13 + 3 * i], ARGV[14 + 3 * i]
  local moment, id = delay ~= '' and entry_of(delay)
  if moment then
    id = delay_job(user, nonce, moment, spec)
  else
    id, first_seq = string.format('%013x', seq + i) .. nonce, first_seq or seq + i
    redis.call('SET', spec_key(id), spec)
    redis.call('ZADD', lane, score_in(WAITING, seq + i), id)
  end
  publish(user, id, 'queued', 0)
  reply[i + 3] = id
end
if key ~= '' then redis.call('SET', idem_key, fingerprint .. ' ' .. table.concat(reply, ' ', 3), 'PX', ARGV[4]) end
pass_over_types(wake_one)
if not first_seq then return reply end
if in_lane == 0 then redis.call('ZADD', P .. 'lanes', 0, user) end
local position = redis.call('ZCOUNT', lane, int(DUE), int(first_seq))
if first_seq == seq then reply[2] = position end
if position == 1 then touch(user) end -- behind others: the lane is in the ring already, or may not be
flush_ring()
return reply
