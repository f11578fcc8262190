#!lua flags=no-writes
-- Find out what the ACL refuses of what the scripts do, without doing it. Cost: O(commands).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1..] names of commands
-- Reply: names of the commands that the ACL refuses..., and 'PUBLISH' if it refuses to publish events
local refused = {}
for _, command in ipairs(ARGV) do
  if not redis.acl_check_cmd(command, P) then refused[#refused + 1] = command end
end
if not redis.acl_check_cmd('PUBLISH', P .. 'events:', '') then refused[#refused + 1] = 'PUBLISH' end
return refused
