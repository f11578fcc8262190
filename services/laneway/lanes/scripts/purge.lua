#!lua flags=allow-oom
-- Cancel the jobs of a lane that do not run, up to a moment, in pieces. Repeat it until the second number is 0.
-- A claimed job may be about to start: it is asked to stop, and is cancelled when it comes back or heeds that.
-- Cost: O(pieces log n).
-- include: keys, bands, ends, ring
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] accepted until, microseconds since 2020   ARGV[3] reason   ARGV[4] maximum of jobs
-- Reply: {ids cancelled..., 1 if more may be left else 0}
local user, until_us, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local replies = {}
local function jobs_in(band, max_jobs)
  local from, to = int(band), score_in(band, until_us)
  return redis.call('ZRANGE', lane_key(user), from, to, 'BYSCORE', 'LIMIT', 0, max_jobs)
end
local function cancel(id)
  redis.call('ZREM', P .. 'retries', id)
  stage_end_unheld(user, id, 'cancelled', ARGV[3])
  replies[#replies + 1] = id
end
for _, band in ipairs({ CLAIMED, STARTED }) do
  for _, id in ipairs(jobs_in(band, -1)) do
    if redis.call('ZSCORE', P .. 'retries', id) then
      cancel(id)
    elseif band == CLAIMED then
      redis.call('HSETNX', P .. 'cancels', id, ARGV[3])
    end
  end
end
local startable = jobs_in(DUE, limit)
if #startable < limit then
  for _, id in ipairs(jobs_in(WAITING, limit - #startable)) do startable[#startable + 1] = id end
end
for _, id in ipairs(startable) do cancel(id) end
touch(user)
flush_ends()
flush_ring()
replies[#replies + 1] = #startable == limit and 1 or 0
return replies
