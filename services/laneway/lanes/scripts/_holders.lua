-- Finding and mending damage of unique keys.
-- include: keys, jobs, mending, delays, unique

-- User and unique key ('' for none) in the spec of a job, which is behind its time of acceptance while the job is delayed.
-- Nil if the spec is lost or unreadable.
local function read_unique_key(id, is_delayed)
  local key = is_delayed and later_key(id) or spec_key(id)
  local head = checked(key, redis.pcall('GETRANGE', key, 0, MAX_HEAD_BYTES + 15)) or ''
  local user, names = string.match(head, (is_delayed and '^%d+\n' or '^') .. '([^\n]*)\n[^\n\t]*([^\n]*)\n%d+\n')
  return user, user and string.match(names, '[^\t]*$')
end

-- A job that is in its lane or delayed holds its unique key, unless another one does.
local function check_holder_of(user, key, id)
  if key == '' then return end
  local is_read, holder = true, has_type(unique_key(user, key), 'string')
  if holder then is_read, holder = pcall(holder_of, user, key) end
  if holder or not is_read then return end -- not read: a key of another type, which the walk has yet to come to
  redis.call('SET', unique_key(user, key), id)
  record('unique')
end

-- A unique key names a job that has it. If that job has ended, archived.lua will delete the key. `rest`: <user>:<key>.
local function check_unique_key(rest)
  local name = P .. 'unique:' .. rest
  if not has_type(name, 'string') then return end
  local id = redis.call('GET', name)
  for _, is_delayed in ipairs({ false, true }) do
    local user, key = read_unique_key(id, is_delayed)
    if user and user .. ':' .. key == rest then return end
  end
  redis.call('UNLINK', name)
  record('unique')
end
