#!lua flags=allow-oom
-- Take back the jobs whose lease has run out, make due retries startable, and wake workers if the ring has lanes.
-- A job that had started is retried at once, or has failed if its attempts are spent. A job that had only been claimed
-- returns uncharged and becomes a suspect: from now on it never runs in a batch with others.
-- Guarantee: any number of janitors may run it at once. After an outage of Redis, or a jump of its clock, live holders get
-- time to renew before their leases expire. Cost: O(log n) a job.
-- include: keys, time, jobs, ends, returns, retries, ring, turns
-- KEYS[1] prefix
-- ARGV[1] maximum of expired leases   ARGV[2] error of a failed attempt (JSON text)
-- ARGV[3] a gap this long between two expires is an outage, ms (0: expire every lease that has run out)
-- ARGV[4..] leases of processes that are dead: these expire in any case, run out or not
-- Reply: {user, id, returned | retrying | failed | cancelled, attempts, type}...
local SPARE_MS = 7000 -- a lease keeper's call to Redis takes at most 5 s (services/laneway/lanes/store.py), and it retries a second later

-- The latest deadline that expires now. After an outage it stays where it was until every live holder could renew.
local function deadline_reached(outage_ms)
  if outage_ms == 0 then return now_ms end
  local seen = redis.call('HMGET', P .. 'expiry', 'last', 'since', 'up_to')
  local last, since, up_to = tonumber(seen[1] or 0), tonumber(seen[2] or 0), tonumber(seen[3] or 0)
  if now_ms < last or now_ms - last > outage_ms then since = now_ms end
  up_to = now_ms - since < SPARE_MS and math.min(up_to, now_ms) or now_ms
  redis.call('HSET', P .. 'expiry', 'last', int(now_ms), 'since', int(since), 'up_to', int(up_to))
  return up_to
end

local deadline = int(deadline_reached(tonumber(ARGV[3])))
local leases = redis.call('ZRANGE', P .. 'leases', '-inf', deadline, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for i = 4, #ARGV do leases[#leases + 1] = ARGV[i] end
local replies = {}
for _, lease in ipairs(leases) do
  local id = id_of(lease)
  local is_held = redis.call('ZREM', P .. 'leases', lease) == 1
  local user, max_attempts, type_name = read_head(id)
  local score = is_held and user and redis.call('ZSCORE', lane_key(user), id)
  if score then
    local result, attempts = 'returned', redis.call('HGET', job_key(id), 'attempts') or '0'
    if not is_charged(id, score) then
      redis.call('HINCRBY', P .. 'suspicions', id, 1)
      if return_job(user, id) then result = 'cancelled' end
    else
      local reason = take_cancel(id)
      result = reason and 'cancelled' or tonumber(attempts) >= tonumber(max_attempts) and 'failed' or 'retrying'
      if result == 'retrying' then
        retry_job(user, id, attempts, 0, { 'error', ARGV[2] })
      else
        stage_end_unheld(user, id, result, reason, ARGV[2])
      end
    end
    touch(user)
    replies[#replies + 1] = { user, id, result, attempts, type_name }
  end
end
flush_ends()
promote_retries(256)
flush_ring()
wake_workers()
return replies
