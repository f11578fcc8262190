#!lua flags=allow-oom
-- Take back the jobs whose lease has run out: their whole worker is lost. Make due retries startable, let delayed jobs
-- that are due enter their lanes, and wake workers if the ring has lanes.
-- A job comes back uncharged, at once the first time, with a backoff from the second loss in a row on: from then on it is a
-- suspect, too. After enough losses in a row it has failed.
-- Guarantee: any number of janitors may run it at once. After an outage of Redis, or a jump of its clock, live holders get
-- time to renew before their leases expire. Cost: O(log n) a job.
-- include: keys, time, ends, losses, retries, ring, turns, admission
-- KEYS[1] prefix
-- ARGV[1] maximum of expired leases   ARGV[2] a gap this long between two expires is an outage, ms (0: expire every lease that
-- has run out)   ARGV[3] maximum of lost workers in a row   ARGV[4] error of a job that has failed by them (JSON text)
-- ARGV[5] backoff after the second lost worker, ms   ARGV[6] longest backoff, ms
-- Reply: {user, id, returned | failed | cancelled, attempts, type}...
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

local function count(losses)
  losses.workers = losses.workers + 1
  if losses.workers == 1 then return nil, 0 end
  losses.is_suspect = 1
  local delay_ms = math.min(tonumber(ARGV[5]) * 2 ^ (losses.workers - 2), tonumber(ARGV[6]))
  return losses.workers >= tonumber(ARGV[3]) and ARGV[4] or nil, delay_ms
end

local deadline = int(deadline_reached(tonumber(ARGV[2])))
local replies = {}
local leases = redis.call('ZRANGE', P .. 'leases', '-inf', deadline, 'BYSCORE', 'LIMIT', 0, ARGV[1])
drop_foreign_keys_of(leases)
admit_due(256)
for _, lease in ipairs(leases) do
  replies[#replies + 1] = take_back(lease, nil, count)
end
flush_ends()
promote_retries(256)
flush_ring()
wake_workers()
return replies
