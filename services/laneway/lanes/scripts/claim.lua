#!lua flags=allow-oom
-- Take jobs off the ring, one lane after another, each under a lease.
-- Guarantee: a lane is given to one claimant until its claimed jobs are started, finished or released, so that jobs of a
-- lane start in order whichever process runs them. Allowed when memory is short: only jobs that end make room again.
-- A job whose spec is lost ends as failed. Cost: O(log n) a job, whatever the number of users.
-- A lane with a free slot may give followers: jobs beyond its free slots. The claimant runs a follower in the slot of a job
-- of the same claim that ended before it (docs/decisions/0047-followers.md).
-- include: keys, time, ticks, bands, turns, ring, retries, ends, lost, shares, types, admission
-- before changes: ZRANGE, retries
-- KEYS[1] prefix
-- ARGV[1] maximum of jobs   ARGV[2] lease, ms   ARGV[3] whether lanes may give followers, 0 | 1
-- Reply: {token, Redis's time in microseconds since 2020, ms until the next retry or delayed job is due or -1,
--         {id...}, {spec...}, {attempts so far...}, {losses or nil...} or {} if no job has any, {follower 0 | 1...} or {}}
local limit, deadline, may_follow = tonumber(ARGV[1]), int(now_ms + tonumber(ARGV[2])), ARGV[3] == '1'
local next_entry_us = admit_due(256)
local next_retry_ms = promote_retries(256)
flush_ring()

local users = redis.call('ZRANGE', P .. 'ring', 0, limit - 1)
local lane_count = #users
local share = lane_count > 0 and math.ceil(limit / lane_count) or 0
local found_in, free_in, rounds, total = {}, {}, 0, 0 -- by the place of the lane in `users`
for i = 1, lane_count do
  local user = users[i]
  if next_entry_us <= now_us then admit_due_of(user, share) end -- more jobs are due than were admitted
  local found, free = next_jobs(user, math.min(share, limit - total - (lane_count - i)), may_follow)
  local count = #found / 2
  if count == 0 then touch(user) end -- its limit was lowered after it had joined the ring
  found_in[i], free_in[i] = found, free
  rounds, total = math.max(rounds, count), total + count
end

-- The jobs found, in turns: the first of each lane, then the second of each, and so on. Of every job: the index of its lane in
-- `users`, its id and score, the key of its spec, and whether it is a follower.
local lane_of, found_ids, scores, spec_keys, is_follower, found_count = {}, {}, {}, {}, {}, 0
for round = 1, rounds do
  for i = 1, lane_count do
    local id, score = found_in[i][2 * round - 1], found_in[i][2 * round]
    if id then
      if is_due(score) then drop_foreign(job_key(id), 'hash') end
      found_count = found_count + 1
      lane_of[found_count], found_ids[found_count], scores[found_count] = i, id, score
      spec_keys[found_count], is_follower[found_count] = spec_key(id), round > free_in[i]
    end
  end
end

local token = lane_count > 0 and int(tick(1)) or '0'
if lane_count > 0 then redis.call('ZREMRANGEBYRANK', P .. 'ring', 0, lane_count - 1) end

local ids, specs, attempts, losses, leases, follows, is_any_follower, taken = {}, {}, {}, {}, {}, {}, false, 0
local moves_in = {} -- by the place of the lane
local found_specs = found_count > 0 and redis.call('MGET', unpack(spec_keys)) or {}
for i = 1, found_count do
  local lane, id, score, spec = lane_of[i], found_ids[i], scores[i], found_specs[i]
  local user = users[lane]
  if is_spec_of(user, spec) then
    local moves, has_slot = moves_in[lane], is_due(score)
    local moved = score - (has_slot and DUE or WAITING) + CLAIMED
    if moves then moves[#moves + 1], moves[#moves + 2] = moved, id else moves_in[lane] = { moved, id } end
    taken = taken + 1
    leases[2 * taken - 1], leases[2 * taken] = deadline, token .. ':' .. id
    ids[taken], specs[taken] = id, spec
    attempts[taken] = has_slot and tonumber(redis.call('HGET', job_key(id), 'attempts') or 0) or 0
    follows[taken] = is_follower[i] and 1 or 0
    is_any_follower = is_any_follower or is_follower[i]
  else
    stage_lost(user, id)
    touch(user)
  end
end
if taken > 0 then
  for lane, moves in pairs(moves_in) do redis.call('ZADD', lane_key(users[lane]), 'XX', unpack(moves)) end
  redis.call('ZADD', P .. 'leases', unpack(leases))
  if redis.call('EXISTS', P .. 'losses') == 1 then losses = redis.call('HMGET', P .. 'losses', unpack(ids)) end
end
flush_ends()
flush_ring()
if taken > 0 then wake_workers() end -- the lanes that are left in the ring are for others
return { token, int(now_us), ms_until_due(next_entry_us, next_retry_ms), ids, specs, attempts, losses, is_any_follower and follows or {} }
