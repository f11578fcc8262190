-- A delayed job becomes one like any other.
-- include: keys, delays

-- Take a job out of the delayed ones. Its spec is stored as that of any job, unless it is lost.
local function end_delay(user, id)
  local later = redis.call('GET', later_key(id)) -- these two are refused if their key has another type: nothing has changed yet
  redis.call('ZREM', P .. 'delayed', user .. ':' .. id)
  redis.call('ZREM', delayed_key(user), id)
  if later then
    redis.call('SET', spec_key(id), string.sub(later, string.find(later, '\n', 1, true) + 1))
    redis.call('UNLINK', later_key(id))
  end
end
