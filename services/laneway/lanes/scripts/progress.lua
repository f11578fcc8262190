#!lua flags=allow-oom
-- Record the progress of a running job. Cost: O(1).
-- include: keys, events
-- KEYS[1] prefix
-- ARGV[1] lease (<token>:<id>)   ARGV[2] user   ARGV[3] percent   ARGV[4] note
-- Reply: 1 recorded, 0 the lease is another's
local id = id_of(ARGV[1])
if not redis.call('ZSCORE', P .. 'leases', ARGV[1]) then return 0 end
redis.call('HSET', job_key(id), 'progress', ARGV[3], 'note', ARGV[4])
emit(ARGV[2], id .. ' progress ' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
