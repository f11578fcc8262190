-- What Redis knows of a job.
-- include: keys
local MAX_HEAD_BYTES = 640 -- as in services/laneway/lanes/codec.py

-- User, max attempts and type of a job; nothing if its spec is not there. (The request behind them may be long.)
local function read_head(id)
  local head = redis.call('GETRANGE', spec_key(id), 0, MAX_HEAD_BYTES - 1)
  local user, type_name, max_attempts = string.match(head, '^([^\n]*)\n([^\n\t]*)[^\n]*\n(%d+)\n')
  return user, max_attempts, type_name
end

-- Has this job ever run? Its hash is there from its first start to its end.
local function has_run(id) return redis.call('EXISTS', job_key(id)) == 1 end

-- Remove the request to stop this job and return its reason; false if there was none.
local function take_cancel(id)
  local reason = redis.call('HGET', P .. 'cancels', id)
  if reason then redis.call('HDEL', P .. 'cancels', id) end
  return reason
end
