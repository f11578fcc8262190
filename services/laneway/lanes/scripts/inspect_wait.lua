#!lua flags=no-writes
-- Read what a job that has not ended waits for: its place in the lane, who has the slots, and the lane's place in the ring.
-- Cost: O(slots + log n).
-- include: keys, time, bands, jobs, limits, permits
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id
-- Reply: {} if the job is not in the lane, else {jobs ahead of it, slots, paused 0|1, position of the lane in the ring from 1
--        (0: not in the ring), lanes in the ring, wait of the ring's first lane in microseconds, jobs in flight over all
--        lanes, {} or, if it waits for a permit, {its place from 1, type, jobs with a permit, jobs that wait, max running or 0,
--        max starts or 0, period in microseconds}, {id, claimed 0|1, ms at which it may start or -1}... for each job that occupies a slot}
local user, id = ARGV[1], ARGV[2]

local function permit_wait()
  local _, _, type_name = read_head(id)
  local limits = type_name and limits_of_type(type_name)
  local rank = limits and redis.call('ZSCORE', P .. 'retries', id) and redis.call('ZRANK', waiting_key(type_name), id)
  if not rank then return {} end
  return { rank + 1, type_name, (read_permits(type_name)), redis.call('ZCARD', waiting_key(type_name)), limits.max_running,
    limits.starts, limits.period_us }
end

local lane = lane_key(user)
local score = redis.call('ZSCORE', lane, id)
if not score then return {} end
local in_front = is_startable(score) and redis.call('ZCOUNT', lane, int(DUE), '(' .. score) or 0
local slots, is_paused = limits_of(user)
local rank = redis.call('ZRANK', P .. 'ring', user)
local head = redis.call('ZRANGE', P .. 'ring', 0, 0, 'WITHSCORES')[2]
local reply = {
  in_front,
  slots,
  is_paused and 1 or 0,
  rank and rank + 1 or 0,
  redis.call('ZCARD', P .. 'ring'),
  head and math.max(0, now_us - tonumber(head)) or 0,
  redis.call('ZCARD', P .. 'leases'),
  permit_wait(),
}
local taken = redis.call('ZRANGE', lane, '-inf', BELOW_DUE, 'BYSCORE', 'WITHSCORES')
for i = 1, #taken, 2 do
  local due_ms = redis.call('ZSCORE', P .. 'retries', taken[i])
  reply[#reply + 1] = { taken[i], is_claimed(taken[i + 1]) and 1 or 0, due_ms and tonumber(due_ms) or -1 }
end
return reply
