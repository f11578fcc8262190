#!lua flags=allow-oom
-- Publish and keep the events of users with live connections for some time from now.
-- Cost: O(1) a user.
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] time, ms   ARGV[2..] users
-- Reply: for each user 1 its events were kept all along, 0 they are kept from now on
redis.call('SET', P .. 'watched', 1, 'PX', ARGV[1])
local replies = {}
for at = 2, #ARGV do
  local key = backlog_key(ARGV[at])
  replies[at - 1] = redis.call('PEXPIRE', key, ARGV[1])
  if replies[at - 1] == 0 then
    redis.call('XADD', key, '*', 'e', '')
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
return replies
