#!lua flags=allow-oom
-- Take jobs off the ring, one lane after another, each under a lease.
-- Guarantee: a lane is given to one claimant until its claimed jobs are started, finished or released, so that jobs of a
-- lane start in order whichever process runs them. Allowed when memory is short: only jobs that end make room again.
-- A job whose spec is lost ends as failed. Cost: O(log n) a job, whatever the number of users.
-- include: keys, time, ticks, bands, limits, turns, ring, retries, ends, lost
-- KEYS[1] prefix
-- ARGV[1] maximum of jobs   ARGV[2] lease, ms
-- Reply: {token, Redis's time in microseconds since 2020, ms until the next retry is due or -1,
--         {id...}, {spec...}, {attempts so far...}, {losses or nil...} or {} if no job of all has any}
local limit, deadline = tonumber(ARGV[1]), int(now_ms + tonumber(ARGV[2]))
promote_retries(256)
flush_ring()

local users = redis.call('ZRANGE', P .. 'ring', 0, limit - 1)
local lane_count = #users
local share = lane_count > 0 and math.ceil(limit / lane_count) or 0
local claims, rounds, total = {}, 0, 0
for i = 1, lane_count do
  local user = users[i]
  local lane = lane_key(user)
  local want = math.min(share, usable_slots(user), limit - total - (lane_count - i))
  local found = want > 0 and redis.call('ZRANGE', lane, 0, want - 1, 'WITHSCORES') or {}
  if found[2] and not is_startable(found[2]) then -- some of its slots are taken: read the jobs behind those
    local taken = count_taken(lane)
    want = math.min(want, usable_slots(user) - taken)
    found = want > 0 and redis.call('ZRANGE', lane, taken, taken + want - 1, 'WITHSCORES') or {}
  end
  local count = #found / 2
  if count == 0 then touch(user) end -- its limit was lowered after it had joined the ring
  claims[i], rounds, total = { user = user, lane = lane, found = found, moves = {} }, math.max(rounds, count), total + count
end

local token = lane_count > 0 and int(tick(1)) or '0'
if lane_count > 0 then redis.call('ZPOPMIN', P .. 'ring', lane_count) end

local candidates, spec_keys = {}, {}
for round = 1, rounds do -- one job of each lane, then the second of each
  for _, claim in ipairs(claims) do
    local id, score = claim.found[2 * round - 1], claim.found[2 * round]
    if id then
      candidates[#candidates + 1] = { claim = claim, id = id, score = score }
      spec_keys[#spec_keys + 1] = spec_key(id)
    end
  end
end

local ids, specs, attempts, losses, leases = {}, {}, {}, {}, {}
local found_specs = #spec_keys > 0 and redis.call('MGET', unpack(spec_keys)) or {}
for i, candidate in ipairs(candidates) do
  local claim, id, score = candidate.claim, candidate.id, candidate.score
  if is_spec_of(claim.user, found_specs[i]) then
    local at, moves = #ids + 1, claim.moves
    local is_due = string.byte(score) == 45 -- a minus: scores are negative in the due band and not in the waiting one
    moves[#moves + 1], moves[#moves + 2] = tonumber(score) - (is_due and DUE or WAITING) + CLAIMED, id
    leases[2 * at - 1], leases[2 * at] = deadline, token .. ':' .. id
    ids[at], specs[at] = id, found_specs[i]
    attempts[at] = is_due and tonumber(redis.call('HGET', job_key(id), 'attempts') or 0) or 0
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
local next_retry = redis.call('ZRANGE', P .. 'retries', 0, 0, 'WITHSCORES')
local wait_ms = next_retry[2] and math.max(0, tonumber(next_retry[2]) - now_ms) or -1
return { token, int(now_us), wait_ms, ids, specs, attempts, losses }
