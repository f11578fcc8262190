#!lua flags=no-writes
-- Read the jobs that workers hold, a page at a time, by the deadline of their lease. Cost: O(page); ask for some 200 at most.
-- A lease that is renewed between two pages may be in both or in none.
-- include: keys, jobs
-- KEYS[1] prefix
-- ARGV[1] how many to skip   ARGV[2] maximum of jobs
-- Reply: {id, user, type (both '' if the spec is lost), {state, attempts, started_us, worker}, each nil before the first start}...
local first, replies = tonumber(ARGV[1]), {}
for i, lease in ipairs(redis.call('ZRANGE', P .. 'leases', first, first + ARGV[2] - 1)) do
  local id = id_of(lease)
  local user, _, type_name = read_head(id)
  replies[i] = { id, user or '', type_name or '', redis.call('HMGET', job_key(id), 'state', 'attempts', 'started_us', 'worker') }
end
return replies
