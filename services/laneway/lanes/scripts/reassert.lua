#!lua flags=allow-oom
-- Restore what only workers know, if Redis has lost it: the turn message and the default number of slots.
-- Guarantee: changes nothing where nothing is lost. Cost: O(turns pushed).
-- include: keys, turns
-- KEYS[1] prefix
-- ARGV[1] the turn message, with a placeholder for its id   ARGV[2] default number of slots
-- ARGV[3] how many turns shall wait at least when the message was lost
-- Reply: names of the keys that were restored...
local restored = {}
if redis.call('HSETNX', P .. 'limits', '*', ARGV[2]) == 1 then restored[#restored + 1] = 'limits' end
if redis.call('SET', P .. 'turn', ARGV[1], 'NX') then
  restored[#restored + 1] = 'turn'
  for _ = redis.call('LLEN', P .. 'turns') + 1, tonumber(ARGV[3]) do push_turn() end
end
return restored
