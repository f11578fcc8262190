#!lua flags=allow-oom
-- Take back the jobs whose lease has run out, make due retries startable, and call workers if the ring has lanes.
-- A job that had started is retried at once, or has failed if its attempts are spent. One that had only been claimed
-- returns uncharged, but is marked (suspicions), so that from now on it is never run in a batch with others.
-- Guarantee: one of many janitors or all of them may run it. After an outage of Redis, or a jump of its clock, who lives has
-- time to renew before anything is expired. Cost: O(log n) a job.
-- KEYS[1] prefix
-- ARGV[1] most leases that have run out   ARGV[2] error of a failed attempt (JSON text)
-- ARGV[3] an outage is when nobody has run this for so long, or ever, ms (0: take whatever has run out)
-- ARGV[4..] leases of processes that are dead: these in any case, run out or not
-- Reply: {user, id, returned | retrying | failed | cancelled, attempts, type}...
local SPARE_MS = 7000 -- a lease keeper asks Redis for at most 5 s (services/laneway/lanes/store.py), and again a second later

-- Up to when leases must have run out to be expired now: while those are spared that could not be renewed, as far as last time.
local function up_to(outage_ms)
  if outage_ms == 0 then return now_ms end
  local seen = redis.call('HMGET', P .. 'expiry', 'last', 'since', 'up_to')
  local last, since, reach = tonumber(seen[1] or 0), tonumber(seen[2] or 0), tonumber(seen[3] or 0)
  if now_ms < last or now_ms - last > outage_ms then since = now_ms end
  reach = now_ms - since < SPARE_MS and math.min(reach, now_ms) or now_ms
  redis.call('HSET', P .. 'expiry', 'last', int(now_ms), 'since', int(since), 'up_to', int(reach))
  return reach
end

local reach = int(up_to(tonumber(ARGV[3])))
local leases = redis.call('ZRANGE', P .. 'leases', '-inf', reach, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for i = 4, #ARGV do leases[#leases + 1] = ARGV[i] end
local replies = {}
for _, lease in ipairs(leases) do
  local id = id_of(lease)
  local held = redis.call('ZREM', P .. 'leases', lease) == 1
  local user, most, kind = head_of(id)
  local score = held and user and redis.call('ZSCORE', lane_key(user), id)
  if score then
    local fate, attempts = 'returned', redis.call('HGET', job_key(id), 'attempts') or '0'
    if not charged(id, score) then
      redis.call('HINCRBY', P .. 'suspicions', id, 1)
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
    update_ring(user)
    replies[#replies + 1] = { user, id, fate, attempts, kind }
  end
end
promote(256)
flush()
call_workers()
return replies
