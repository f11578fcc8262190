#!lua flags=no-writes
-- The oldest ended jobs that MongoDB does not have yet, whole. Cost: O(jobs).
-- KEYS[1] prefix
-- ARGV[1] most jobs
-- Reply: {id, user, type, request, state, attempts, max_attempts, worker, started_us, finished_us, result, error, reason,
--         progress, note}..., nil where it has none
local replies = {}
for i, id in ipairs(redis.call('LRANGE', P .. 'done', 0, tonumber(ARGV[1]) - 1)) do
  replies[i] = redis.call('HMGET', job_key(id), 'user', 'type', 'request', 'state', 'attempts', 'max_attempts', 'worker',
    'started_us', 'finished_us', 'result', 'error', 'reason', 'progress', 'note')
  table.insert(replies[i], 1, id)
end
return replies
