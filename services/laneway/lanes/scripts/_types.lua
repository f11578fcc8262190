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

-- Whether a reply of redis.pcall is the error that the key holds another type. Raises any other error.
local function is_wrong_type(reply)
  if type(reply) ~= 'table' or not reply.err then return false end
  if not string.find(reply.err, '^WRONGTYPE') then error(reply) end
  return true
end

-- The reply of redis.pcall to a command on `key`; nil if the key held another type than ours: it was deleted. (To ask for the
-- type of each key first would cost more.)
local function unless_foreign(key, reply)
  if not is_wrong_type(reply) then return reply end
  redis.call('UNLINK', key)
  redis.log(redis.LOG_WARNING, 'laneway deleted ' .. key .. ': it was of another type')
end

-- Fields of a hash; none if the key held another type: then it was deleted.
local function fields_of(key, ...) return unless_foreign(key, redis.pcall('HMGET', key, ...)) or {} end

local function drop_foreign_keys(user, id)
  drop_foreign(lane_key(user), 'zset')
  drop_foreign(job_key(id), 'hash')
end
