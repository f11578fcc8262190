#!lua flags=allow-oom
-- Check a slice of the lanes and the front of the ring, and mend what is damaged:
--   type    a key held another type than ours: it was deleted, and is rebuilt from the others
--   lanes   a lane was missing in the index of lanes, or was in it without holding anything
--   ring    a lane was in the ring without being ready, or ready without being in it
--   score   a job had a score that no band gives: it waits again
--   slot    a job occupied a slot without a lease and without a retry: it may start again, uncharged
--   spec    the spec of one of the next jobs was lost: the job has failed with the reason `lost`
-- Guarantee: changes nothing where nothing is damaged. Cost: O(lanes of the slice + leases).
-- include: keys, bands, ends, ring, lost, mending, occupants
-- KEYS[1] prefix
-- ARGV[1] check lanes after this user, '' from the first   ARGV[2] maximum of lanes
-- Reply: {last user of the slice or '' after the last lane, {kind, count...}}
local FRONT_LANES, NEXT_JOBS = 10, 16
local function check_spec(user, id)
  if user_of(id) == user or is_leased(id) then return end
  stage_lost(user, id)
  touch(user)
  record('spec')
end

-- Check the specs and the scores of a lane's next jobs. `members`: id, score...
local function check_members(user, members)
  local spec_keys = {}
  for i = 1, #members, 2 do
    local id, score = members[i], tonumber(members[i + 1])
    local seq = seq_of(id)
    local band = seq and math.floor((score - seq) / W) * W
    if not seq or band < CLAIMED or band > WAITING or band + seq ~= score then
      redis.call('ZREM', lane_key(user), id)
      if seq then restore_member(user, id, WAITING) end
      record('score')
    end
    spec_keys[#spec_keys + 1] = spec_key(id)
  end
  if redis.call('EXISTS', unpack(spec_keys)) < #spec_keys then
    for i = 1, #members, 2 do check_spec(user, members[i]) end
  end
end

local function check_lane(user)
  local lane = lane_key(user)
  local members = checked(lane, redis.pcall('ZRANGE', lane, 0, NEXT_JOBS - 1, 'WITHSCORES'))
  if members and #members > 0 then
    check_members(user, members)
    if not is_startable(members[2]) then check_slots(user) end
    flush_ends()
  end
  check_place(user)
end

local from = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local users = redis.call('ZRANGE', P .. 'lanes', from, '+', 'BYLEX', 'LIMIT', 0, ARGV[2])
local last_user = #users == tonumber(ARGV[2]) and users[#users] or ''
for _, user in ipairs(redis.call('ZRANGE', P .. 'ring', 0, FRONT_LANES - 1)) do users[#users + 1] = user end
for _, user in ipairs(users) do check_lane(user) end
flush_ring()
return { last_user, mended_damage() }
