#!lua flags=allow-oom
-- Remove the connections of a token. If the user has no other connection, it has disconnected now.
-- Cost: O(connections of the user).
-- include: keys, time, presence
-- KEYS[1] prefix
-- ARGV[1] user   ARGV[2] token id
-- Reply: 1
local user, token_prefix = ARGV[1], ARGV[2] .. ':'
local key = connections_key(user)
for _, connection in ipairs(redis.call('ZRANGE', key, 0, -1)) do
  if string.sub(connection, 1, #token_prefix) == token_prefix then redis.call('ZREM', key, connection) end
end
if not is_connected(user) then redis.call('ZADD', presence_key, 'XX', int(-now_us), user) end
return 1
