#!lua flags=no-writes
-- The oldest ended jobs that MongoDB does not have yet, whole. Cost: O(jobs).
-- KEYS[1] prefix
-- ARGV[1] most jobs   ARGV[2] how many of the oldest to pass over
-- Reply: {{id...}, {spec...}, {ended...}}, the texts nil where others have archived the job meanwhile
local ids = redis.call('LRANGE', P .. 'done', tonumber(ARGV[2]), ARGV[1] + ARGV[2] - 1)
if #ids == 0 then return { {}, {}, {} } end
local specs, ends = {}, {}
for i, id in ipairs(ids) do specs[i], ends[i] = spec_key(id), ended_key(id) end
return { ids, redis.call('MGET', unpack(specs)), redis.call('MGET', unpack(ends)) }
