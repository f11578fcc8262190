#!lua flags=allow-oom
-- Take jobs off the ring, one lane after another, each under a lease.
-- Guarantee: a lane is given to one claimant until its claimed jobs are started, finished or released, so that jobs of a
-- lane start in order whichever process runs them. Allowed when memory is short: only jobs that end make room again.
-- A job whose spec is lost ends as failed. Cost: O(log n) a job, whatever the number of users.
-- A lane with a free slot may give followers: jobs beyond its free slots. The claimant runs a follower in the slot of a job
-- of the same claim that ended before it (docs/decisions/0047-followers.md).
-- include: keys, time, ticks, bands, turns, ring, retries, ends, lost, shares, types, admission
-- KEYS[1] prefix
-- ARGV[1] maximum of jobs   ARGV[2] lease, ms   ARGV[3] whether lanes may give followers, 0 | 1
-- Reply: {token, Redis's time in microseconds since 2020, ms until the next retry or delayed job is due or -1,
--         {id...}, {spec...}, {attempts so far...}, {losses or nil...} or {} if no job has any, {follower 0 | 1...} or {}}
local limit, deadline, may_follow = tonumber(ARGV[1]), int(now_ms + tonumber(ARGV[2])), ARGV[3] == '1'
local next_entry_us = admit_due(256)
promote_retries(256)
flush_ring()

local users = redis.call('ZRANGE', P .. 'ring', 0, limit - 1)
local lane_count = #users
local share = lane_count > 0 and math.ceil(limit / lane_count) or 0
local claims, rounds, total = {}, 0, 0
for i = 1, lane_count do
  local user = users[i]
  if next_entry_us <= now_us then admit_due_of(user, share) end -- more jobs are due than were admitted
  local found, free = next_jobs(user, math.min(share, limit - total - (lane_count - i)), may_follow)
  local count = #found / 2
  if count == 0 then touch(user) end -- its limit was lowered after it had joined the ring
  claims[i] = { user = user, lane = lane_key(user), free = free, found = found, moves = {} }
  rounds, total = math.max(rounds, count), total + count
end

-- The jobs found, one of each lane, then the second of each: its claim, its id and score, the key of its spec, whether it follows.
local claim_of, found_ids, scores, spec_keys, is_follower = {}, {}, {}, {}, {}
for round = 1, rounds do
  for _, claim in ipairs(claims) do
    local id, score = claim.found[2 * round - 1], claim.found[2 * round]
    if id then
      if is_due(score) then drop_foreign(job_key(id), 'hash') end
      local at = #spec_keys + 1
      claim_of[at], found_ids[at], scores[at], spec_keys[at] = claim, id, score, spec_key(id)
      is_follower[at] = round > claim.free
    end
  end
end

local token = lane_count > 0 and int(tick(1)) or '0'
if lane_count > 0 then redis.call('ZPOPMIN', P .. 'ring', lane_count) end

local ids, specs, attempts, losses, leases, follows, is_any_follower = {}, {}, {}, {}, {}, {}, false
local found_specs = #spec_keys > 0 and redis.call('MGET', unpack(spec_keys)) or {}
for i, claim in ipairs(claim_of) do
  local id, score, spec = found_ids[i], scores[i], found_specs[i]
  if is_spec_of(claim.user, spec) then
    local at, moves, has_slot = #ids + 1, claim.moves, is_due(score)
    moves[#moves + 1], moves[#moves + 2] = score - (has_slot and DUE or WAITING) + CLAIMED, id
    leases[2 * at - 1], leases[2 * at] = deadline, token .. ':' .. id
    ids[at], specs[at] = id, spec
    attempts[at] = has_slot and tonumber(redis.call('HGET', job_key(id), 'attempts') or 0) or 0
    follows[at] = is_follower[i] and 1 or 0
    is_any_follower = is_any_follower or is_follower[i]
  else
    stage_lost(claim.user, id)
    touch(claim.user)
  end
end
if #ids > 0 then
  for _, claim in ipairs(claims) do
    if #claim.moves > 0 then redis.call('ZADD', claim.lane, 'XX', unpack(claim.moves)) end
  end
  redis.call('ZADD', P .. 'leases', unpack(leases))
  if redis.call('EXISTS', P .. 'losses') == 1 then losses = redis.call('HMGET', P .. 'losses', unpack(ids)) end
end
flush_ends()
flush_ring()
if #ids > 0 then wake_workers() end -- the lanes that are left in the ring are for others
return { token, int(now_us), ms_until_due(next_entry_us), ids, specs, attempts, losses, is_any_follower and follows or {} }
