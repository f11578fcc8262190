-- The ends of jobs.
-- include: keys, time, events
--
-- Two steps: a script calls stage_end for each job that ends, and flush_ends() once, before flush_ring(). So a hundred ends
-- cost a handful of commands.
local finished_us = int(now_us)
local ended_ids, ended_texts, job_keys, ids_by_user, ends = {}, {}, {}, {}, {}

-- Stage the end of a job. `job`: user, id, state, attempts; outcome ('result' | 'error') and body; started_us, worker,
-- reason, progress, note and log if it has them.
local function stage_end(job)
  local id, reason, note = job.id, job.reason, job.note
  ends[#ends + 1], ended_ids[#ended_ids + 1], job_keys[#job_keys + 1] = job, id, job_key(id)
  ended_texts[#ended_texts + 1] = ended_key(id)
  ended_texts[#ended_texts + 1] = job.state .. '\n' .. job.attempts .. '\n' .. finished_us .. '\n' ..
    (job.started_us or '') .. '\n' .. (job.worker or '') .. '\n' .. job.outcome .. '\n' ..
    (reason and cjson.encode(reason) or '') .. '\n' .. (job.progress or '') .. '\n' ..
    (note and cjson.encode(note) or '') .. '\n' .. job.user .. (job.log and '\t' .. job.log or '') .. '\n' .. job.body
  local ids = ids_by_user[job.user] or {}
  ids[#ids + 1], ids_by_user[job.user] = id, ids
end

-- Stage the end of a job that no worker holds. `error`: why it failed; the error of its last attempt if there is none.
local function stage_end_unheld(user, id, state, reason, error)
  local known = redis.call('HMGET', job_key(id), 'progress', 'note', 'attempts', 'started_us', 'worker', 'error', 'log')
  stage_end({ user = user, id = id, state = state, attempts = known[3] or '0', outcome = 'error',
    body = error or known[6] or '', started_us = known[4], worker = known[5], reason = reason,
    progress = known[1], note = known[2], log = known[7] })
end

-- Take the staged jobs out of their lanes, hand them to the archive and publish their ends.
local function flush_ends()
  if #ends == 0 then return end
  for user, ids in pairs(ids_by_user) do redis.call('ZREM', lane_key(user), unpack(ids)) end
  redis.call('MSET', unpack(ended_texts))
  redis.call('UNLINK', unpack(job_keys))
  redis.call('RPUSH', P .. 'outbox', unpack(ended_ids))
  if redis.call('EXISTS', P .. 'losses') == 1 then redis.call('HDEL', P .. 'losses', unpack(ended_ids)) end
  for _, job in ipairs(ends) do publish(job.user, job.id, job.state, job.attempts) end
  ended_ids, ended_texts, job_keys, ids_by_user, ends = {}, {}, {}, {}, {}
end
