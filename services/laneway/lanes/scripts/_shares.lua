-- The jobs that a lane gives in a claim.
-- include: keys, bands, limits, ring, types

-- At most `max_jobs` jobs, next first, as a list of id, score...; and the free slots of the lane. The jobs beyond the free slots are
-- followers; a lane without a free slot gives none.
local function read_jobs(user, max_jobs, may_follow)
  local lane, free = lane_key(user), usable_slots(user)
  if free == 0 then return {}, 0 end
  local found = redis.call('ZRANGE', lane, 0, (may_follow and max_jobs or math.min(max_jobs, free)) - 1, 'WITHSCORES')
  if not found[2] or is_startable(found[2]) then return found, free end
  local taken = count_taken(lane) -- some of its slots are taken: read the jobs behind those
  free = free - taken
  if free <= 0 then return {}, free end
  local last = taken + (may_follow and max_jobs or math.min(max_jobs, free)) - 1
  return redis.call('ZRANGE', lane, taken, last, 'WITHSCORES'), free
end

-- The same. A lane whose key has another type than ours gives none, and holds up no other lane.
local function next_jobs(user, max_jobs, may_follow)
  local is_read, found, free = pcall(read_jobs, user, max_jobs, may_follow)
  if is_read then return found, free end
  drop_foreign(lane_key(user), 'zset')
  return read_jobs(user, max_jobs, may_follow)
end
