#!lua flags=allow-oom
-- Take jobs off the ring, one lane after another, each under a lease.
-- Guarantee: a lane is given to one claimant until its claimed jobs are started, finished or released, so that jobs
-- of a lane start in order whoever runs them. Allowed when memory is short: only jobs that end make room again.
-- Cost: O(log n) a job, whatever the number of users.
-- KEYS[1] prefix
-- ARGV[1] most jobs   ARGV[2] lease, ms
-- Reply: {token, Redis's time in microseconds since 2020, ms until the next retry is due or -1,
--         {id...}, {spec...}, {attempts so far...}, {suspicions or nil...} or {} if no job of all has any}
local limit, deadline = tonumber(ARGV[1]), int(now_ms + tonumber(ARGV[2]))
promote(256)
flush()

local popped = redis.call('ZPOPMIN', P .. 'ring', limit)
local lanes = #popped / 2
local token = lanes > 0 and int(tick(1)) or '0'
local each = lanes > 0 and math.ceil(limit / lanes) or 0
local taken, most, total = {}, 0, 0
for i = 1, lanes do
  local user = popped[2 * i - 1]
  local lane = lane_key(user)
  local want = math.min(each, slots(user), limit - total - (lanes - i))
  local found = want > 0 and redis.call('ZRANGE', lane, 0, want - 1, 'WITHSCORES') or {}
  if found[2] and tonumber(found[2]) < -W then -- some of its slots are taken: look behind those
    local used = busy(lane)
    want = math.min(want, slots(user) - used)
    found = want > 0 and redis.call('ZRANGE', lane, used, used + want - 1, 'WITHSCORES') or {}
  end
  local count = #found / 2
  if count == 0 then update_ring(user) end -- its limit was lowered since it joined
  taken[i], most, total = { user = user, lane = lane, found = found }, math.max(most, count), total + count
end

local jobs, specs, attempts, suspicions = {}, {}, {}, {}
local leases, moves, mark = {}, {}, token .. ':'
for round = 1, most do -- one of each lane, then the second of each
  for i, lane in ipairs(taken) do
    local id, score = lane.found[2 * round - 1], lane.found[2 * round]
    if id then
      local at, move = #jobs + 1, moves[i] or {}
      local due = string.byte(score) == 45 -- the scores of the due band are negative, those of the waiting one are not
      moves[i] = move
      move[#move + 1], move[#move + 2] = tonumber(score) - (due and 2 * W or 3 * W), id
      leases[2 * at - 1], leases[2 * at] = deadline, mark .. id
      jobs[at], specs[at] = id, spec_key(id)
      attempts[at] = due and tonumber(redis.call('HGET', job_key(id), 'attempts') or 0) or 0
    end
  end
end
if #jobs > 0 then
  for i, move in pairs(moves) do redis.call('ZADD', taken[i].lane, 'XX', unpack(move)) end
  redis.call('ZADD', P .. 'leases', unpack(leases))
  specs = redis.call('MGET', unpack(specs))
  if redis.call('EXISTS', P .. 'suspicions') == 1 then suspicions = redis.call('HMGET', P .. 'suspicions', unpack(jobs)) end
end
flush()
if #jobs > 0 then call_workers() end -- what is left in the ring is for others
local next_retry = redis.call('ZRANGE', P .. 'retries', 0, 0, 'WITHSCORES')
local wait_ms = next_retry[2] and math.max(0, tonumber(next_retry[2]) - now_ms) or -1
return { token, int(now_us), wait_ms, jobs, specs, attempts, suspicions }
