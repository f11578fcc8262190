-- What the two checkers share: finding and mending damage.
-- include: keys, bands, jobs, ring, types
local damage = {} -- kind -> how often it was mended

local function record(kind) damage[kind] = (damage[kind] or 0) + 1 end

local function drop(key)
  redis.call('UNLINK', key)
  record('type')
end

-- Does a key hold our type? A key of another type is deleted.
local function has_type(key, expected)
  local found = redis.call('TYPE', key).ok
  if found ~= expected and found ~= 'none' then drop(key) end
  return found == expected
end

-- The reply of redis.pcall to a command that reads `key`; false if the key held another type than ours, and was deleted.
local function checked(key, reply)
  if not is_wrong_type(reply) then return reply end
  drop(key)
  return false
end

-- The user in a job's spec; nil if the spec is lost or unreadable.
local function user_of(id)
  local head = checked(spec_key(id), redis.pcall('GETRANGE', spec_key(id), 0, MAX_HEAD_BYTES - 1))
  return head and string.match(head, '^([^\n]*)\n[^\n]*\n%d+\n')
end

-- The score of a job in its lane; false if it is not there.
local function score_of(user, id)
  return checked(lane_key(user), redis.pcall('ZSCORE', lane_key(user), id))
end

-- Put a job that is in no lane, though it was accepted and has not ended, back in its lane.
local function restore_member(user, id, band)
  redis.call('ZADD', lane_key(user), score_in(band, seq_of(id)), id)
  redis.call('ZADD', P .. 'lanes', 0, user)
  touch(user)
  record('member')
end

-- The band of a job that nobody holds: one that has run before comes first. (Its hash is written at its first start.)
local function band_of_idle(id) return has_type(job_key(id), 'hash') and DUE or WAITING end

-- Check the place of a lane in the ring and in `lanes`.
local function check_place(user)
  local in_ring, in_lanes = redis.call('ZSCORE', P .. 'ring', user), redis.call('ZSCORE', P .. 'lanes', user)
  local ready, is_empty = is_ready(user)
  if is_empty and in_lanes or not is_empty and not in_lanes then
    record('lanes')
    if not is_empty then redis.call('ZADD', P .. 'lanes', 0, user) end
    touch(user)
  end
  if ready ~= (in_ring ~= false) then
    record('ring')
    touch(user)
  end
end

-- Reply of a checker: kind, count...
local function mended_damage()
  local flat = {}
  for kind, times in pairs(damage) do
    flat[#flat + 1], flat[#flat + 2] = kind, times
  end
  return flat
end
