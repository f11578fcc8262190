-- The ring: a lane is in it if and only if one of its jobs may start now.
-- include: keys, bands, limits, ticks, turns
--
-- Two steps: a script calls touch(user) for each lane that it changes, and flush_ring() once, after its last change.

local function count_taken(lane) return redis.call('ZCOUNT', lane, '-inf', BELOW_DUE) end

-- May a job of this lane start now? Second value: whether the lane is empty.
local function is_ready(user)
  local lane = lane_key(user)
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  if #first == 0 then return false, true end
  local slots, score = usable_slots(user), tonumber(first[2])
  if slots == 0 or is_claimed(score) then return false end
  if is_startable(score) then return true end
  local taken = count_taken(lane)
  return taken < slots and redis.call('ZCARD', lane) > taken
end

local touched, is_touched = {}, {} -- users, in order

local function touch(user)
  if is_touched[user] then return end
  is_touched[user] = true
  touched[#touched + 1] = user
end

-- Put the touched lanes in the ring if they are ready and take them out if not. A lane that is in the ring keeps its place.
-- `at_head`: lanes that join come before all others, because they were taken off the ring and nothing of them started.
local function place_touched(at_head)
  local joining, leaving, empty = {}, {}, {}
  for _, user in ipairs(touched) do
    local ready, is_empty = is_ready(user)
    local list = ready and joining or leaving
    list[#list + 1] = user
    if is_empty then empty[#empty + 1] = user end
  end
  touched, is_touched = {}, {}
  if #leaving > 0 then redis.call('ZREM', P .. 'ring', unpack(leaving)) end
  if #empty > 0 then redis.call('ZREM', P .. 'lanes', unpack(empty)) end
  if #joining == 0 then return end
  local first, members = tick(#joining), {}
  local head = at_head and redis.call('ZRANGE', P .. 'ring', 0, 0, 'WITHSCORES')[2]
  if head then first = tonumber(head) - #joining end
  for i, user in ipairs(joining) do
    members[2 * i - 1], members[2 * i] = first + i - 1, user
  end
  redis.call('ZADD', P .. 'ring', 'NX', unpack(members))
  wake_workers()
end

local function flush_ring(at_head) pass_over_types(place_touched, at_head) end
