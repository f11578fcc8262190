#!lua flags=no-writes
-- Read the valid reports of one kind. Cost: O(reports).
-- include: keys, time
-- KEYS[1] prefix
-- ARGV[1] kind   ARGV[2] maximum of reports
-- Reply: {name, report}... in no order
local names = P .. 'reports:' .. ARGV[1]
local replies = {}
local found = redis.call('ZRANGE', names, '(' .. now_ms, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, name in ipairs(found) do
  local text = redis.call('GET', P .. 'report:' .. ARGV[1] .. '/' .. name)
  if text then replies[#replies + 1] = { name, text } end
end
return replies
