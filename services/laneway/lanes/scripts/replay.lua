#!lua flags=no-writes
-- Read the events of a user after one that a client has received.
-- Cost: O(events returned).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] entry in the backlog, '' for none
-- Reply: {newest entry or '', 1 if nothing is missing after ARGV[2] else 0, entry, event, entry, event...}
local key = backlog_key(ARGV[1])
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local reply = { newest and newest[1] or '', 1 }
if ARGV[2] == '' then return reply end
local entries = redis.call('XRANGE', key, ARGV[2], '+')
if not entries[1] or entries[1][1] ~= ARGV[2] then -- it was trimmed, or the backlog began after it
  reply[2] = 0
  return reply
end
for i = 2, #entries do
  reply[#reply + 1] = entries[i][1]
  reply[#reply + 1] = entries[i][2][2]
end
return reply
