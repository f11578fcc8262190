#!lua flags=no-writes
-- Read what one job has logged, if MongoDB does not have the job yet. Cost: O(lines).
-- include: keys, jobs, later
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id
-- Reply: {} if the user has no such job; otherwise {text of `ended:<id>` or nil, {log, state, attempts, started_us, worker of
--        `job:<id>`, each nil if it is not there}, {line of the present run...}}
local user, id = ARGV[1], ARGV[2]
if read_head(id) ~= user then return later_spec(user, id) and { false, {}, {} } or {} end
local ended = redis.call('GET', ended_key(id))
if ended then return { ended, {}, {} } end
local fields = redis.call('HMGET', job_key(id), 'log', 'state', 'attempts', 'started_us', 'worker')
return { false, fields, redis.call('LRANGE', lines_key(id), 0, -1) }
