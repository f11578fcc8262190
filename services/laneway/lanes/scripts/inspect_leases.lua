#!lua flags=no-writes
-- Read the jobs that workers hold, a page at a time, by the deadline of their lease. Cost: O(page); ask for some 200 at most.
-- A lease that is renewed between two pages may be in both or in none.
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] how many to skip   ARGV[2] maximum of jobs
-- Reply: {id, first bytes of the spec or nil, {state, attempts, started_us, worker}, each nil before the first start}...
local HEAD_BYTES = 512
local first, replies = tonumber(ARGV[1]), {}
for i, lease in ipairs(redis.call('ZRANGE', P .. 'leases', first, first + ARGV[2] - 1)) do
  local id = id_of(lease)
  local head = redis.call('GETRANGE', spec_key(id), 0, HEAD_BYTES - 1)
  replies[i] = { id, head, redis.call('HMGET', job_key(id), 'state', 'attempts', 'started_us', 'worker') }
end
return replies
