-- Delayed jobs: accepted, and not in their lane before a moment of their own.
-- include: keys
--
-- The seq in the id of a delayed job is the moment at which it enters its lane. So from then on it is a job like any other: its
-- place, its order and its wait follow from its id, and no script has to know that it was delayed. No two delayed jobs have the
-- same seq: jobs of the same moment enter one microsecond after another, in the order of their acceptance.
local function delayed_key(user) return P .. 'delayed:' .. user end
local function later_key(id) return P .. 'later:' .. id end

-- Take a job out of the delayed ones. Its spec is stored as that of any job, unless it is lost.
local function end_delay(user, id)
  local later = redis.call('GET', later_key(id))
  if later then
    redis.call('SET', spec_key(id), string.sub(later, string.find(later, '\n', 1, true) + 1))
    redis.call('UNLINK', later_key(id))
  end
  redis.call('ZREM', delayed_key(user), id)
  redis.call('ZREM', P .. 'delayed', user .. ':' .. id)
end
