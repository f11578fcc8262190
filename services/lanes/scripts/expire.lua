#!lua flags=allow-oom
-- Take back the jobs whose lease has run out, make due retries startable, and call workers if the ring has lanes.
-- A job that had started is retried at once, or has failed if its attempts are spent. One that had only been claimed
-- returns uncharged, but is marked (losses), so that from now on it is never run in a batch with others.
-- Guarantee: one of many janitors or all of them may run it. Cost: O(log n) a job.
-- KEYS[1] prefix
-- ARGV[1] most leases   ARGV[2] error of a failed attempt (JSON text)
-- Reply: {user, id, returned | retrying | failed | cancelled, attempts, type}...
local leases = redis.call('ZRANGE', P .. 'leases', '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, ARGV[1])
local replies = {}
for _, lease in ipairs(leases) do
  redis.call('ZREM', P .. 'leases', lease)
  local id = id_of(lease)
  local user, most, kind = head_of(id)
  local score = user and redis.call('ZSCORE', lane_key(user), id)
  if score then
    local fate, attempts = 'returned', redis.call('HGET', job_key(id), 'attempts') or '0'
    if not charged(id, score) then
      redis.call('HINCRBY', P .. 'losses', id, 1)
      if return_job(user, id) then fate = 'cancelled' end
    else
      local reason = take_cancel(id)
      fate = reason and 'cancelled' or tonumber(attempts) >= tonumber(most) and 'failed' or 'retrying'
      if fate == 'retrying' then
        retry_job(user, id, attempts, 0, { 'error', ARGV[2] })
      else
        end_here(user, id, fate, ARGV[2], reason or '')
      end
    end
    settle(user)
    replies[#replies + 1] = { user, id, fate, attempts, kind }
  end
end
promote(256)
close()
call_workers()
return replies
