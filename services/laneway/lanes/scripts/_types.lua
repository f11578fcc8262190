-- Deletes keys of single lanes, jobs and users whose value has the wrong type. The loader checks the keys that all lanes share.
-- include: keys

-- Delete a key that has another type than ours, before the first change of a script. It would end the script in the middle, and
-- one user's key would hold up all jobs of a batch. The janitor rebuilds it from the others.
local function drop_foreign(key, expected)
  local found = redis.call('TYPE', key).ok
  if found == expected or found == 'none' then return end
  redis.call('UNLINK', key)
  redis.log(redis.LOG_WARNING, 'laneway deleted ' .. key .. ': it was a ' .. found .. ', not a ' .. expected)
end

local function drop_foreign_keys(user, id)
  drop_foreign(lane_key(user), 'zset')
  drop_foreign(job_key(id), 'hash')
end
