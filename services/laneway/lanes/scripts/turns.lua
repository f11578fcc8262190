#!lua flags=allow-oom
-- Store the turn message and push as many as are missing.
-- Allowed when memory is short: only jobs that end make room again, and turns end them. Cost: O(turns pushed).
-- include: keys, turns
-- KEYS[1] prefix
-- ARGV[1] the message, with a placeholder for its id; '' to keep the one that is stored   ARGV[2] how many shall wait at least
-- Reply: how many were missing
if ARGV[1] ~= '' then redis.call('SET', P .. 'turn', ARGV[1]) end
local missing = math.max(0, tonumber(ARGV[2]) - redis.call('LLEN', P .. 'turns'))
for _ = 1, missing do pass_over_types(push_turn) end
return missing
