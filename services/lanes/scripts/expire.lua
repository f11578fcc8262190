#!lua flags=allow-oom
-- Take back the jobs whose lease has run out, make due retries startable, and call workers if the ring has lanes.
-- A job that had started is retried at once, or has failed if its attempts are spent. One that had only been claimed
-- returns uncharged, but is marked (losses), so that from now on it is never run in a batch with others.
-- Guarantee: one of many janitors or all of them may run it. Cost: O(log n) a job.
-- KEYS[1] prefix
-- ARGV[1] most leases   ARGV[2] error of a failed attempt (JSON text)
-- Reply: {user, id, returned | retrying | failed | cancelled, attempts}...
local leases = redis.call('ZRANGE', P .. 'leases', '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, ARGV[1])
local replies = {}
for _, lease in ipairs(leases) do
  redis.call('ZREM', P .. 'leases', lease)
  local id = id_of(lease)
  local job = redis.call('HMGET', job_key(id), 'user', 'attempts', 'max_attempts')
  local user, attempts = job[1], job[2]
  local score = user and redis.call('ZSCORE', lane_key(user), id)
  if score then
    local fate = 'returned'
    redis.call('HINCRBY', job_key(id), 'losses', 1)
    if tonumber(score) < -2 * W then
      if return_job(user, id) then fate = 'cancelled' end
    elseif redis.call('SISMEMBER', P .. 'cancels', id) == 1 then
      fate = 'cancelled'
      redis.call('SREM', P .. 'cancels', id)
      end_job(user, id, fate, attempts, { 'error', ARGV[2] })
    elseif tonumber(attempts) >= tonumber(job[3]) then
      fate = 'failed'
      end_job(user, id, fate, attempts, { 'error', ARGV[2] })
    else
      fate = 'retrying'
      retry_job(user, id, attempts, 0, { 'error', ARGV[2] })
    end
    settle(user)
    replies[#replies + 1] = { user, id, fate, attempts }
  end
end
promote(256)
close()
call_workers()
return replies
