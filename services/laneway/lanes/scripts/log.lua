#!lua
-- Keep the newest lines that running jobs have logged, for readers and in case their process dies. Publish them to the live
-- connections of their users.
-- Guarantee: fenced. `job:<id>` stays as it is: a job that has one counts as started. Cost: O(lines).
-- include: keys, types
-- KEYS[1] prefix
-- ARGV[1..] for each job: lease (<token>:<id>), user, attempt, how many lines to keep, new lines (JSON, one a line)
-- Reply: for each job 1 kept, 0 the lease is another's
local LIFETIME_MS = 86400000 -- the end of a run removes them; nobody does if its lane is lost
local replies = {}
for at = 1, #ARGV, 5 do drop_foreign(lines_key(id_of(ARGV[at])), 'list') end
for at = 1, #ARGV, 5 do
  local id, user, lines = id_of(ARGV[at]), ARGV[at + 1], ARGV[at + 4]
  local reply = 0
  if redis.call('ZSCORE', P .. 'leases', ARGV[at]) then
    reply = 1
    for line in string.gmatch(lines, '[^\n]+') do redis.call('RPUSH', lines_key(id), line) end
    redis.call('LTRIM', lines_key(id), -tonumber(ARGV[at + 3]), -1)
    redis.call('PEXPIRE', lines_key(id), LIFETIME_MS)
    if redis.call('EXISTS', backlog_key(user)) == 1 then
      local event = id .. ' log ' .. ARGV[at + 2] .. ' [' .. string.gsub(lines, '\n', ',') .. ']'
      redis.pcall('PUBLISH', P .. 'events:' .. user, event)
    end
  end
  replies[#replies + 1] = reply
end
return replies
