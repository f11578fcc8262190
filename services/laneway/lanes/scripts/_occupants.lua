-- Jobs that occupy a slot: each must have a lease or wait for a retry.
-- include: keys, bands, jobs, ends, ring, mending
local MAX_LEASES, MAX_TAKEN = 5000, 1000

-- Jobs in flight, read once and only if a job of the slice occupies a slot.
local leased, are_too_many
local function is_leased(id)
  if not leased then
    leased, are_too_many = {}, redis.call('ZCARD', P .. 'leases') > MAX_LEASES
    for _, lease in ipairs(redis.call('ZRANGE', P .. 'leases', 0, MAX_LEASES - 1)) do leased[id_of(lease)] = true end
  end
  return are_too_many or leased[id]
end

-- Give up the slot of a job that nobody holds. Its run, if there was one, is not charged.
local function vacate(user, id)
  record('slot')
  local band, reason = band_of_idle(id), take_cancel(id)
  if reason then
    stage_end_unheld(user, id, 'cancelled', reason)
    return
  end
  if redis.call('HGET', job_key(id), 'state') == 'running' then
    local attempts = redis.call('HINCRBY', job_key(id), 'attempts', -1)
    redis.call('HSET', job_key(id), 'state', attempts > 0 and 'retrying' or 'queued')
  end
  redis.call('ZADD', lane_key(user), 'XX', score_in(band, seq_of(id)), id)
  touch(user)
end

local function check_slots(user)
  for _, id in ipairs(redis.call('ZRANGE', lane_key(user), '-inf', BELOW_DUE, 'BYSCORE', 'LIMIT', 0, MAX_TAKEN)) do
    if not is_leased(id) and not redis.call('ZSCORE', P .. 'retries', id) then vacate(user, id) end
  end
end
