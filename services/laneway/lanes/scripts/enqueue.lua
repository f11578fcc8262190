#!lua
-- Accept jobs of one user: all of them or none.
-- Guarantee: one atomic step with the idempotency key, the limits and the token's revocation. Cost: O(log n) of the lane; of
-- all delayed jobs for a job that is delayed.
-- include: keys, time, ticks, bands, events, ring, revocations, turns, delays, delaying, bytes, rates, repeats, unique
-- before changes: GET, GETRANGE, LLEN, MGET, SET, STRLEN, ZRANDMEMBER, ZSCORE, outbox
-- KEYS[1] prefix
-- ARGV[1] user
-- ARGV[2] idempotency key, '' for none   ARGV[3] fingerprint of the request   ARGV[4] its time to live, ms
-- ARGV[5] maximum of jobs in the lane   ARGV[6] maximum of ended jobs that wait for MongoDB
-- ARGV[7] maximum of jobs a second, 0 = no limit   ARGV[8] token id, '' for none
-- ARGV[9] maximum of bytes in the lane, 0 = no limit   ARGV[10] jobs that fit into it whatever their size
-- ARGV[11] time of the log-in that the token stands for, Unix ms; 0 for an API key
-- ARGV[12] unique keys: a line for each job, empty for a job without one; '' if no job has one
-- ARGV[13..] for each job: nonce (12 hex digits), when it enters its lane (microseconds since 2020, or '+' and microseconds
--   from now; '' at once), spec (as in the catalogue of _keys.lua)
-- Reply: {'accepted' | 'repeated', position of the first or 0, id...}; of a duplicate '=' and the id of the job that holds its key
--        | {'mismatch'} | {'full', ms to wait} | {'heavy', ms to wait} | {'fast', ms to wait} | {'backlog', ms to wait} | {'revoked'}
local user, key, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local lane, count = lane_key(user), (#ARGV - 12) / 3
if count == 0 then return { 'accepted', 0 } end
if ARGV[8] ~= '' and is_revoked(user, ARGV[8], tonumber(ARGV[11])) then return { 'revoked' } end
local idem_key = key ~= '' and P .. 'idem:' .. user .. ':' .. key
local repeated = idem_key and repeated_reply(user, idem_key, fingerprint)
if repeated then return repeated end

local reply, added, unique_keys, holders = { 'accepted', 0 }, count, nil, nil
if ARGV[12] ~= '' then
  unique_keys, holders, added = find_duplicates(user, ARGV[12])
  if holders[1] then reply[2] = position_of(user, holders[1]) end
end
if added == 0 then
  for i = 1, count do reply[i + 2] = '=' .. holders[i] end
  return reply
end

local in_lane, delayed = redis.call('ZCARD', lane), redis.call('ZCARD', delayed_key(user))
local held = in_lane + delayed + added
if held > tonumber(ARGV[5]) then return { 'full', 1000 } end
if tonumber(ARGV[9]) > 0 and held > tonumber(ARGV[10]) then
  local bytes = estimate_bytes(lane, in_lane, spec_key) + estimate_bytes(delayed_key(user), delayed, later_key)
  for i = 1, count do bytes = bytes + (holders and holders[i] and 0 or #ARGV[12 + 3 * i]) end
  if bytes > tonumber(ARGV[9]) then return { 'heavy', 1000 } end
end
if redis.call('LLEN', P .. 'outbox') >= tonumber(ARGV[6]) then return { 'backlog', 1000 } end
local spent_us, wait_ms = spend(user, tonumber(ARGV[7]), added)
if wait_ms then return { 'fast', wait_ms } end

for i = 14, #ARGV, 3 do if ARGV[i] ~= '' then check_delayed() break end end
local seq = tick(added)
if spent_us then redis.call('SET', P .. 'rate:' .. user, int(spent_us), 'PX', math.ceil((spent_us - now_us) / 1000) + 1) end
local next_seq, first_seq = seq, nil -- first_seq: of the jobs that enter at once
for i = 1, count do -- no unpack: a batch may have more jobs than Lua's stack has room for
  local holder = holders and holders[i]
  if holder then
    reply[i + 2] = '=' .. (reply[holder] or holder)
  else
    local nonce, delay, spec = ARGV[10 + 3 * i], ARGV[11 + 3 * i], ARGV[12 + 3 * i]
    local moment, id = delay ~= '' and entry_of(delay)
    if moment then
      id = delay_job(user, nonce, moment, spec)
    else
      id, first_seq = string.format('%013x', next_seq) .. nonce, first_seq or next_seq
      redis.call('SET', spec_key(id), spec)
      redis.call('ZADD', lane, score_in(WAITING, next_seq), id)
    end
    if unique_keys and unique_keys[i] ~= '' then redis.call('SET', unique_key(user, unique_keys[i]), id) end
    publish(user, id, 'queued', 0)
    reply[i + 2], next_seq = id, next_seq + 1
  end
end
if idem_key then redis.call('SET', idem_key, fingerprint .. ' ' .. table.concat(reply, ' ', 3), 'PX', ARGV[4]) end
pass_over_types(wake_one)
if not first_seq then return reply end
local position = in_lane == 0 and 1 or redis.call('ZCOUNT', lane, int(DUE), int(first_seq))
if in_lane == 0 then redis.call('ZADD', P .. 'lanes', 0, user) end
if first_seq == seq and not (holders and holders[1]) then reply[2] = position end
if position == 1 then touch(user) end -- behind others: the lane is in the ring already, or may not be
flush_ring()
return reply
