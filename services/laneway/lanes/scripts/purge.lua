#!lua flags=allow-oom
-- Cancel, in pieces, what a lane holds and does not run, up to a moment. Repeat it until the second number is 0.
-- What is claimed may be about to start: it is asked to stop, so it is cancelled when it comes back or does not ignore that.
-- Cost: O(pieces log n).
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] accepted until, microseconds since 2020   ARGV[3] reason   ARGV[4] most jobs
-- Reply: {ids cancelled..., 1 if more may be left else 0}
local user, until_us, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local lane, replies = lane_key(user), {}
local function cancel(id)
  redis.call('ZREM', P .. 'retries', id)
  end_here(user, id, 'cancelled', '', ARGV[3])
  replies[#replies + 1] = id
end
for _, id in ipairs(redis.call('ZRANGE', lane, int(-3 * W), int(until_us - 3 * W), 'BYSCORE')) do
  if not charged(id, -3 * W) then redis.call('HSETNX', P .. 'cancels', id, ARGV[3]) end
end
local started = redis.call('ZRANGE', lane, int(-2 * W), int(until_us - 2 * W), 'BYSCORE')
for _, id in ipairs(started) do
  if redis.call('ZSCORE', P .. 'retries', id) then cancel(id) end
end
local startable = redis.call('ZRANGE', lane, int(-W), int(until_us - W), 'BYSCORE', 'LIMIT', 0, most)
if #startable < most then
  local waiting = redis.call('ZRANGE', lane, 0, int(until_us), 'BYSCORE', 'LIMIT', 0, most - #startable)
  for _, id in ipairs(waiting) do startable[#startable + 1] = id end
end
for _, id in ipairs(startable) do cancel(id) end
update_ring(user)
flush()
replies[#replies + 1] = #startable == most and 1 or 0
return replies
