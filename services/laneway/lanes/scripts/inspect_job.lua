#!lua flags=no-writes
-- Read one job that MongoDB does not have yet. Cost: O(log n) of its lane.
-- include: keys, bands, jobs, later
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] id
-- Reply: {} if it is unknown or another user's, else {position (0: not queued), spec, ended or nil, {field, value...}, 0}
--        | {0, spec, nil, {}, 1} for a delayed job that has not entered its lane
local user, id = ARGV[1], ARGV[2]
if read_head(id) ~= user then
  local spec = later_spec(user, id)
  return spec and { 0, spec, false, {}, 1 } or {}
end
local score, position = redis.call('ZSCORE', lane_key(user), id), 0
if score and is_startable(score) then position = redis.call('ZCOUNT', lane_key(user), int(DUE), score) end
local spec, ended = redis.call('GET', spec_key(id)), redis.call('GET', ended_key(id))
return { position, spec, ended, redis.call('HGETALL', job_key(id)), 0 }
