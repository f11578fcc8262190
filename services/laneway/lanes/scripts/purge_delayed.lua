#!lua flags=allow-oom
-- Cancel the delayed jobs of a user that were accepted up to a moment, in pieces. Repeat it with the last number of the reply
-- until that is 0.
-- Cost: O(pieces log n).
-- include: keys, ends, types, delays, undelaying
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] accepted until, microseconds since 2020   ARGV[3] reason   ARGV[4] maximum of jobs
-- ARGV[5] look at jobs whose seq is greater than this
-- Reply: {ids cancelled..., ARGV[5] of the next piece, or 0 after the last}
local user, until_us, limit, replies = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4]), {}
drop_foreign(lane_key(user), 'zset')
local found = redis.call('ZRANGE', delayed_key(user), '(' .. ARGV[5], '+inf', 'BYSCORE', 'LIMIT', 0, limit)
for _, id in ipairs(found) do
  drop_foreign(later_key(id), 'string')
  local accepted_us = string.match(redis.call('GETRANGE', later_key(id), 0, 15), '^(%d+)\n')
  if tonumber(accepted_us or 0) <= until_us then
    end_delay(user, id)
    stage_end_unheld(user, id, 'cancelled', ARGV[3])
    replies[#replies + 1] = id
  end
end
flush_ends()
replies[#replies + 1] = #found == limit and seq_of(found[limit]) or 0
return replies
