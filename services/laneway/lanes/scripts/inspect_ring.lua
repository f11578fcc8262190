#!lua flags=no-writes
-- Read the first lanes of the ring, in the order in which they take turns. Cost: O(page log n); ask for some 100 at most.
-- include: keys, time, figures
-- KEYS[1] prefix
-- ARGV[1] maximum of lanes
-- Reply: {lanes in the ring, Redis's time in microseconds since 2020,
--         {user, jobs in all, slots taken, slots (0: paused), since when it is in the ring, microseconds since 2020}...}
--        A lane that was given back is first again, and has a time just before that of the lane behind it.
local reply = { redis.call('ZCARD', P .. 'ring'), now_us }
local first = redis.call('ZRANGE', P .. 'ring', 0, ARGV[1] - 1, 'WITHSCORES')
for i = 1, #first, 2 do
  local jobs, taken, slots = figures_of(first[i])
  reply[#reply + 1] = { first[i], jobs, taken, slots, tonumber(first[i + 1]) }
end
return reply
