-- The jobs that a lane gives in a claim.
-- include: keys, bands, limits, ring, types

-- At most `most` jobs, next first, as a list of id, score...; and the free slots of the lane. The jobs beyond the free slots are
-- followers; a lane without a free slot gives none.
local function read_jobs(user, most, may_follow)
  local lane, free, taken = lane_key(user), usable_slots(user), 0
  local function read()
    local count = (may_follow and free > 0) and most or math.min(most, free)
    return count > 0 and redis.call('ZRANGE', lane, taken, taken + count - 1, 'WITHSCORES') or {}
  end
  local found = read()
  if found[2] and not is_startable(found[2]) then -- some of its slots are taken: read the jobs behind those
    taken = count_taken(lane)
    free = free - taken
    found = read()
  end
  return found, free
end

-- The same. A lane whose key has another type than ours gives none, and holds up no other lane.
local function next_jobs(user, most, may_follow)
  local is_read, found, free = pcall(read_jobs, user, most, may_follow)
  if is_read then return found, free end
  drop_foreign(lane_key(user), 'zset')
  return read_jobs(user, most, may_follow)
end
