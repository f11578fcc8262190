#!lua flags=allow-oom
-- Say what a turn message looks like, and see to it that some wait.
-- Allowed when memory is short: only jobs that end make room again, and turns end them. Cost: O(turns pushed).
-- KEYS[1] prefix
-- ARGV[1] the message, with a placeholder for its id; '' to leave it as it is   ARGV[2] how many are to wait at least
-- Reply: how many were missing
if ARGV[1] ~= '' then redis.call('SET', P .. 'turn', ARGV[1]) end
local missing = math.max(0, tonumber(ARGV[2]) - redis.call('LLEN', P .. 'turns'))
for _ = 1, missing do push_turn() end
return missing
