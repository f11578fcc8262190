-- Jobs that come back to their lane: for a retry, or because they did not start.
-- include: keys, time, bands, events, jobs, ends

-- Give a started job its place at the head of its lane back, from `delay_ms` on. It keeps its slot.
-- `fields`: what its hash learns of the attempt.
local function retry_job(user, id, attempts, delay_ms, fields)
  redis.call('HDEL', job_key(id), 'progress', 'note') -- they were that attempt's
  redis.call('HSET', job_key(id), 'state', 'retrying', 'attempts', attempts, unpack(fields))
  if delay_ms > 0 then
    redis.call('ZADD', lane_key(user), 'XX', score_in(STARTED, seq_of(id)), id)
    redis.call('ZADD', P .. 'retries', int(now_ms + delay_ms), id)
  else
    redis.call('ZADD', lane_key(user), 'XX', score_in(DUE, seq_of(id)), id)
  end
  publish(user, id, 'retrying', attempts)
end

-- Put a claimed job that did not start back in its place. True if it was asked to stop: then its end is staged.
local function return_job(user, id)
  local reason = take_cancel(id)
  if reason then
    stage_end_unheld(user, id, 'cancelled', reason)
    return true
  end
  local attempts = tonumber(redis.call('HGET', job_key(id), 'attempts') or '0')
  redis.call('ZADD', lane_key(user), 'XX', score_in(attempts > 0 and DUE or WAITING, seq_of(id)), id)
  return false
end
