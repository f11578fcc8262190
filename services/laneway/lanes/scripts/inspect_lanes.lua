#!lua flags=no-writes
-- Read lanes in order of their users' names, a page at a time. Cost: O(page log n); ask for some 500 at most.
-- include: keys, bands, figures
-- KEYS[1] prefix
-- ARGV[1] after this user, '' from the first   ARGV[2] maximum of lanes   ARGV[3] whether the oldest waiting job is wanted, 0 | 1
-- ARGV[4] what the users' names begin with, '' for all
-- Reply: {user, jobs in all, slots taken, slots (0: paused), id of the oldest job that holds no slot or '', 1 if nothing of the
--        lane starts before a job of it that was given back for later, else 0}... Followers take no slot of their own.
local from = ARGV[1] == '' and '[' .. ARGV[4] or '(' .. ARGV[1]
local to = ARGV[4] == '' and '+' or '(' .. ARGV[4] .. '\255' -- no name has this byte
local replies = {}
for _, user in ipairs(redis.call('ZRANGE', P .. 'lanes', from, to, 'BYLEX', 'LIMIT', 0, ARGV[2])) do
  local lane, jobs, taken, slots = lane_key(user), figures_of(user)
  local oldest = ARGV[3] == '1' and redis.call('ZRANGE', lane, WAITING, '+inf', 'BYSCORE', 'LIMIT', 0, 1)[1] or ''
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  local is_blocked = first[2] and is_claimed(first[2]) and redis.call('ZSCORE', P .. 'retries', first[1])
  replies[#replies + 1] = { user, jobs, taken, slots, oldest, is_blocked and 1 or 0 }
end
return replies
