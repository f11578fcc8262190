#!lua flags=no-writes
-- Read the valid reports of one kind. Cost: O(reports).
-- include: keys, time
-- KEYS[1] prefix
-- ARGV[1] kind   ARGV[2] maximum of reports
-- Reply: {name, report, ms until it expires}... in no order
local names = P .. 'reports:' .. ARGV[1]
local replies = {}
local found = redis.call('ZRANGE', names, '(' .. now_ms, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for i = 1, #found, 2 do
  local text = redis.call('GET', P .. 'report:' .. ARGV[1] .. '/' .. found[i])
  if text then replies[#replies + 1] = { found[i], text, tonumber(found[i + 1]) - now_ms } end
end
return replies
