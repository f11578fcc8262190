#!lua flags=allow-oom
-- Check the keys that all lanes share, with a slice of the leases and of the retries, and mend what is damaged:
--   type    a key held another type than ours: it was deleted, and is rebuilt from the others
--   member  a job with a lease or a retry was missing in its lane: it is in it again
--   lease   a lease or a retry had no job that occupies a slot: it was removed
--   permit  a job of a type with a limit of running jobs ran without a permit: it has one again
-- Guarantee: changes nothing where nothing is damaged. Cost: O(log n) a lease and a retry.
-- include: keys, time, bands, jobs, ring, mending, permits
-- KEYS[1] prefix
-- ARGV[1] rank of the first lease and of the first retry   ARGV[2] maximum of leases, and of retries
-- Reply: {next rank or 0 after the last ones, {kind, count...},
--         ms for which the first lane of the ring has waited though no job is in flight, or 0}
local TYPES = { ring = 'zset', lanes = 'zset', leases = 'zset', retries = 'zset', delayed = 'zset', outbox = 'list', cancels = 'hash',
  losses = 'hash', limits = 'hash', limited = 'hash', expiry = 'hash', clock = 'string', turn = 'string', turns = 'list', wakeups = 'list',
  presence = 'zset', watch = 'hash', departed = 'zset', archiver = 'string' }
for name, expected in pairs(TYPES) do has_type(P .. name, expected) end
local clock = redis.call('GET', P .. 'clock')
if clock and not tonumber(clock) then
  redis.call('UNLINK', P .. 'clock')
  record('type')
end

local first, limit = tonumber(ARGV[1]), tonumber(ARGV[2])

local function check_holder(key, member, id)
  local user = user_of(id)
  if not user then return end -- its lane is unknown; once the lease has run out, check_lanes finds the job
  local score = score_of(user, id)
  if score and not is_startable(score) then return end
  if score or redis.call('EXISTS', ended_key(id)) == 1 then
    redis.call('ZREM', key, member)
    record('lease')
  else
    restore_member(user, id, STARTED)
  end
end

-- A permit may have been lost, or the job was started by a release that knew no limit for its type.
local is_any_limited = redis.call('EXISTS', P .. 'limited') == 1
local function check_permit(lease, id)
  local user = user_of(id)
  local score = user and score_of(user, id)
  if not score or is_claimed(score) or is_startable(score) then return end
  local _, _, type_name = read_head(id)
  local limits = limits_of_type(type_name)
  if not limits or limits.max_running == 0 then return end
  has_type(permits_key(type_name), 'zset')
  if redis.call('ZADD', permits_key(type_name), 'NX', int(now_us), lease) == 1 then record('permit') end
end

local leases = redis.call('ZRANGE', P .. 'leases', first, first + limit - 1)
local retries = redis.call('ZRANGE', P .. 'retries', first, first + limit - 1)
for _, lease in ipairs(leases) do
  check_holder(P .. 'leases', lease, id_of(lease))
  if is_any_limited then check_permit(lease, id_of(lease)) end
end
for _, id in ipairs(retries) do check_holder(P .. 'retries', id, id) end
flush_ring()
local is_more = #leases == limit or #retries == limit
local head = redis.call('ZRANGE', P .. 'ring', 0, 0, 'WITHSCORES')
local is_unserved = head[2] and redis.call('ZCARD', P .. 'leases') == 0
local waited_us = is_unserved and math.max(0, now_us - tonumber(head[2])) or 0
return { is_more and first + limit or 0, mended_damage(), math.floor(waited_us / 1000) }
