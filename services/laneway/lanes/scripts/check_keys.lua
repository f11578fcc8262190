#!lua flags=allow-oom
-- Check keys that a walk over all keys found, and mend what only they show:
--   type    a key of ours held another type: it was deleted
--   member  an accepted job that has not ended was in no lane, or a delayed one not among the delayed: it is there again
--   lanes, ring   as in `check`
--   outbox  an ended job was not in the outbox: it is again
--   unique  a unique key named a job without it, or a job did not hold its own
--   spec    a spec was unreadable: it was deleted
--   job     a hash belonged to no job: it was deleted
-- Guarantee: changes nothing where nothing is damaged. Cost: O(keys log n), plus the length of a short outbox for each ended job.
-- include: keys, ring, mending, delays, holders
-- KEYS[1] prefix
-- ARGV[1..] names of keys, without the prefix: lane:<user>, spec:<id> and whatever else has an entry in `check_kind`
-- Reply: {kind, count...}
local MAX_OUTBOX = 1000 -- a longer outbox is not searched: it was not lost as a whole
local check_kind = {}

-- Is this job in the outbox? Nil if the outbox is too long to search.
local function is_in_outbox(id)
  if redis.call('LLEN', P .. 'outbox') > MAX_OUTBOX then return nil end
  return redis.call('LPOS', P .. 'outbox', id) ~= false
end

function check_kind.lane(user)
  if has_type(lane_key(user), 'zset') then check_place(user) end
end

function check_kind.spec(id)
  local user, key = read_unique_key(id)
  if not user then
    if redis.call('UNLINK', spec_key(id)) == 1 then record('spec') end
    return
  end
  if not score_of(user, id) then
    if has_type(ended_key(id), 'string') or is_in_outbox(id) ~= false then return end -- the archiver reports a lost end
    restore_member(user, id, band_of_idle(id))
  end
  check_holder_of(user, key, id)
end

function check_kind.job(id)
  if has_type(job_key(id), 'hash') and redis.call('EXISTS', spec_key(id)) == 0 then
    redis.call('UNLINK', job_key(id))
    record('job')
  end
end

function check_kind.ended(id)
  if has_type(ended_key(id), 'string') and is_in_outbox(id) == false then
    redis.call('RPUSH', P .. 'outbox', id)
    record('outbox')
  end
end

-- A delayed job must be in both sorted sets; the janitor admits it if its moment has come.
function check_kind.later(id)
  if not has_type(later_key(id), 'string') then return end
  local user, key = read_unique_key(id, true)
  if not user then
    redis.call('UNLINK', later_key(id))
    record('spec')
    return
  end
  has_type(delayed_key(user), 'zset')
  local added = redis.call('ZADD', delayed_key(user), int(seq_of(id)), id)
  if added + redis.call('ZADD', P .. 'delayed', int(seq_of(id)), user .. ':' .. id) > 0 then record('member') end
  check_holder_of(user, key, id)
end

check_kind.unique = check_unique_key
for kind, expected in pairs({ delayed = 'zset', idem = 'string', rate = 'string', connections = 'zset', permits = 'zset',
  waiting = 'zset', starts = 'list', lines = 'list', backlog = 'stream', report = 'string', reports = 'zset' }) do
  check_kind[kind] = function(rest) has_type(P .. kind .. ':' .. rest, expected) end
end
for _, name in ipairs(ARGV) do
  local kind, rest = string.match(name, '^(%a+):(.*)$')
  if check_kind[kind] then check_kind[kind](rest) end
end
flush_ring()
return mended_damage()
