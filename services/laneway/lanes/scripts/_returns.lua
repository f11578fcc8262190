-- Jobs that come back to their lane, from a claim or from a run.
-- include: keys, time, bands, events, jobs, ends

-- Put a job in the band in which it waits for its next start, at once or from `delay_ms` on. A job that has never run blocks
-- its lane until then, because jobs of a lane start in order.
local function place(user, id, is_begun, delay_ms)
  local band = is_begun and DUE or WAITING
  if delay_ms > 0 then
    band = is_begun and STARTED or CLAIMED
    redis.call('ZADD', P .. 'retries', int(now_ms + delay_ms), id)
  end
  redis.call('ZADD', lane_key(user), 'XX', score_in(band, seq_of(id)), id)
end

-- Give a job that has run its place at the head of its lane back, from `delay_ms` on. It keeps its slot.
-- `run`: state and attempts of the job after it, and fields that its hash learns of it.
local function bring_back(user, id, run, delay_ms)
  redis.call('HDEL', job_key(id), 'progress', 'note') -- they were that run's
  redis.call('HSET', job_key(id), 'state', run.state, 'attempts', run.attempts, unpack(run.fields))
  place(user, id, true, delay_ms)
  publish(user, id, run.state, run.attempts)
end

-- Bring back a job whose run was cut short, before its attempt came to an end of its own: it is not charged.
-- `attempt`: the number of that attempt.
local function bring_back_uncharged(user, id, attempt, fields, delay_ms)
  local attempts = tonumber(attempt) - 1
  local state = attempts > 0 and 'retrying' or 'queued'
  bring_back(user, id, { state = state, attempts = int(attempts), fields = fields }, delay_ms)
end

-- Put a claimed job that did not start back in its place, from `delay_ms` on. True if it was asked to stop: then its end is
-- staged.
local function return_job(user, id, delay_ms)
  local reason = take_cancel(id)
  if reason then
    stage_end_unheld(user, id, 'cancelled', reason)
    return true
  end
  place(user, id, has_run(id), delay_ms)
  return false
end
