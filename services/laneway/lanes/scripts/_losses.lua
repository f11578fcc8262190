-- Losses: runs that were cut short because their process or their whole worker died, and the suspects that they leave.
-- include: keys, bands, jobs, logs, ends, returns, ring, types
--
-- A loss is never charged as an attempt: the job comes back to the head of its lane. Two counters bound the losses of a job.
-- An attempt that comes to an end of its own clears them. A worker runs a suspect alone.

local function drop_foreign_keys_of(leases)
  for _, lease in ipairs(leases) do
    drop_foreign(spec_key(id_of(lease)), 'string')
    local user = read_head(id_of(lease))
    if user then drop_foreign_keys(user, id_of(lease)) end
  end
end

-- Let the hash of a job learn what a lost run has logged, with the other fields of that run.
local function keep_log(id, run)
  local known = redis.call('HMGET', job_key(id), 'log', 'started_us', 'worker')
  local fields = run.fields
  fields[#fields + 1] = 'log'
  fields[#fields + 1] = add_run(known[1], lost_run(id, run.attempt, fields[4] or known[2], fields[2] or known[3]))
end

-- Take a job back from the lease of a dead holder. Returns the element of the reply, or nothing if the lease did not hold.
-- `run`: attempt and fields of the run that was cut short; nil if only Redis knows whether there was one.
-- `count(losses)` changes the job's losses (is_suspect 0|1, alone, workers), and returns the error (JSON text) if the job has
-- failed by them, and after how many ms it comes back.
local function take_back(lease, run, count)
  local id = id_of(lease)
  local user, _, type_name = read_head(id)
  local is_held = redis.call('ZREM', P .. 'leases', lease) == 1
  local score = is_held and user and redis.call('ZSCORE', lane_key(user), id)
  if not score then return nil end
  local charged = redis.call('HGET', job_key(id), 'attempts') or '0'
  if not run and not is_claimed(score) then run = { attempt = charged, fields = {} } end
  local attempts = run and int(tonumber(run.attempt) - 1) or charged
  local is_suspect, alone, workers = string.match(redis.call('HGET', P .. 'losses', id) or '0 0 0', '^(%d) (%d+) (%d+)$')
  local losses = { is_suspect = is_suspect, alone = tonumber(alone), workers = tonumber(workers) }
  local error, delay_ms = count(losses)
  local result, reason = 'returned', take_cancel(id)
  if run then keep_log(id, run) end
  redis.call('UNLINK', lines_key(id))
  if reason or error then
    result = reason and 'cancelled' or 'failed'
    if run then redis.call('HSET', job_key(id), 'attempts', attempts, unpack(run.fields)) end
    stage_end_unheld(user, id, result, reason, not reason and error)
  else
    redis.call('HSET', P .. 'losses', id, losses.is_suspect .. ' ' .. losses.alone .. ' ' .. losses.workers)
    if run then
      bring_back_uncharged(user, id, run.attempt, run.fields, delay_ms)
    else
      return_job(user, id, delay_ms)
    end
  end
  touch(user)
  return { user, id, result, attempts, type_name }
end
