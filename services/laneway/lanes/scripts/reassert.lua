#!lua flags=allow-oom
-- Restore what only workers know, if Redis has lost it: the turn message, the default number of slots, the limits of types.
-- The limits of types are declared again each time: a release may have changed them (_declaring.lua).
-- Guarantee: changes nothing where nothing is lost or new. Cost: O(turns pushed + types).
-- include: keys, declaring, turns
-- KEYS[1] prefix
-- ARGV[1] the turn message, with a placeholder for its id   ARGV[2] default number of slots
-- ARGV[3] how many turns shall wait at least when the message was lost
-- ARGV[4..] types, each as '<max running> <max starts> <period, ms> <type>' (0: no such limit)
-- Reply: names of the keys that were restored...
local restored = {}
for at = 4, #ARGV do
  local limits, type_name = string.match(ARGV[at], '^(%d+ %d+ %d+) (.*)$')
  declare_limits(type_name, limits)
end
if redis.call('HSETNX', P .. 'limits', '*', ARGV[2]) == 1 then restored[#restored + 1] = 'limits' end
if redis.call('SET', P .. 'turn', ARGV[1], 'NX') then
  restored[#restored + 1] = 'turn'
  for _ = redis.call('LLEN', P .. 'turns') + 1, tonumber(ARGV[3]) do push_turn() end
end
return restored
