-- Unique keys: while a job with one is in its lane or delayed, its user enqueues no second job with the same key.
-- include: keys, delays
--
-- `unique:<user>:<key>` names the job that holds the key. It counts only while that job is in the lane or delayed, so a key is
-- free as soon as its job has ended, and no script that ends jobs has to know of it.
local function unique_key(user, key) return P .. 'unique:' .. user .. ':' .. key end

-- The job that holds a unique key; nil if the key is free. A job whose spec does not name the key does not hold it.
local function holder_of(user, key)
  local id = redis.call('GET', unique_key(user, key))
  if not id then return nil end
  local text_key = redis.call('ZSCORE', lane_key(user), id) and spec_key(id)
    or redis.call('ZSCORE', delayed_key(user), id) and later_key(id)
  local head = text_key and redis.call('GETRANGE', text_key, 0, 655) -- MAX_HEAD_BYTES of _jobs.lua, and a time before them
  return head and string.find(head, '\t' .. key .. '\n', 1, true) and id or nil
end

-- Find the duplicates among the jobs of an enqueue. `keys`: a line for each job, empty for a job without a key.
-- Returns the keys as a list; for each job what holds its key: an id, the place of another job of the same enqueue in the reply,
-- or false if the job is no duplicate; and how many are none.
local function find_duplicates(user, keys)
  local list, holders, places, added = {}, {}, {}, 0
  for key in string.gmatch(keys .. '\n', '([^\n]*)\n') do
    local i = #list + 1
    list[i], holders[i] = key, key ~= '' and (places[key] or holder_of(user, key)) or false
    if not holders[i] then
      added = added + 1
      if key ~= '' then places[key] = i + 2 end
    end
  end
  return list, holders, added
end
