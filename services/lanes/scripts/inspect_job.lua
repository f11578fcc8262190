#!lua flags=no-writes
-- Look at one live job. Cost: O(log n) of its lane.
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id
-- Reply: {} if it is unknown or another's, else {position (0: not queued), field, value...}
local fields = redis.call('HGETALL', job_key(ARGV[2]))
local lane = lane_key(ARGV[1])
for i = 1, #fields, 2 do
  if fields[i] == 'user' and fields[i + 1] == ARGV[1] then
    local score, position = redis.call('ZSCORE', lane, ARGV[2]), 0
    if score and tonumber(score) >= -W then position = redis.call('ZCOUNT', lane, int(-W), score) end
    return { position, unpack(fields) }
  end
end
return {}
