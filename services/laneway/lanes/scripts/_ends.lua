-- The ends of jobs.
-- include: keys, time, events, types
--
-- Two steps: a script calls stage_end for each job that ends, and flush_ends() once, before flush_ring(). So a hundred ends
-- cost a handful of commands.
local finished_us = int(now_us)
local staged, ended_ids, ended_texts, job_keys, ids_by_user, end_events = 0, {}, {}, {}, {}, {}

-- The text of P ended:<id> is built from three pieces. The first: how the job ended; `started_us` and `worker` if it has ever run.
local function lines_of_run(state, attempts, started_us, worker)
  return state .. '\n' .. attempts .. '\n' .. finished_us .. '\n' .. (started_us or '') .. '\n' .. (worker or '') .. '\n'
end

-- The second: the reason, the progress and its note, each empty if there is none.
local function lines_of_rest(reason, progress, note)
  return (reason and cjson.encode(reason) or '') .. '\n' .. (progress or '') .. '\n' ..
    (note and cjson.encode(note) or '') .. '\n'
end
local NO_REST = lines_of_rest()

-- The third: the user, the log if there is one, and the result or the error as JSON text.
local function lines_of_body(user, log, body) return user .. (log and '\t' .. log or '') .. '\n' .. body end

-- Stage the end of a job. `text`: for P ended:<id>.
local function stage_end(user, id, state, attempts, text)
  staged = staged + 1
  ended_ids[staged], job_keys[staged] = id, job_key(id)
  ended_texts[2 * staged - 1], ended_texts[2 * staged] = ended_key(id), text
  local ids = ids_by_user[user]
  if ids then ids[#ids + 1] = id else ids_by_user[user] = { id } end
  if has_watchers() then end_events[#end_events + 1] = { user, id, state, attempts } end
end

-- Stage the end of a job that no worker holds. `error`: why it failed; the error of its last attempt if there is none.
local function stage_end_unheld(user, id, state, reason, error)
  local known = fields_of(job_key(id), 'progress', 'note', 'attempts', 'started_us', 'worker', 'error', 'log')
  local attempts = known[3] or '0'
  stage_end(user, id, state, attempts, lines_of_run(state, attempts, known[4], known[5]) .. 'error\n' ..
    lines_of_rest(reason, known[1], known[2]) .. lines_of_body(user, known[7], error or known[6] or ''))
end

-- Take the staged jobs out of their lanes, hand them to the archive and publish their ends. `have_no_hash`: none of them has one.
local function flush_ends(have_no_hash)
  if staged == 0 then return end
  for user, ids in pairs(ids_by_user) do
    local lane = lane_key(user)
    unless_foreign(lane, redis.pcall('ZREM', lane, unpack(ids)))
  end
  redis.call('MSET', unpack(ended_texts))
  if not have_no_hash then redis.call('UNLINK', unpack(job_keys)) end
  redis.call('RPUSH', P .. 'outbox', unpack(ended_ids))
  if redis.call('EXISTS', P .. 'losses') == 1 then redis.call('HDEL', P .. 'losses', unpack(ended_ids)) end
  for _, event in ipairs(end_events) do publish(unpack(event)) end
  staged, ended_ids, ended_texts, job_keys, ids_by_user, end_events = 0, {}, {}, {}, {}, {}
end
