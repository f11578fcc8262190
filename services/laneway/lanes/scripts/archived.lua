#!lua flags=allow-oom
-- Forget ended jobs that MongoDB has now.
-- Guarantee: several archivers at once forget nothing that was not stored. Cost: O(jobs).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1..] ids, as outbox returned them, with :<user>:<unique key> behind the id of a job that has one
-- Reply: how many were forgotten
if #ARGV == 0 then return 0 end
local stored, keys, unique_keys = {}, {}, {}
for i, job in ipairs(ARGV) do
  local id = string.sub(job, 1, ID_LENGTH)
  local key = #job > ID_LENGTH and P .. 'unique:' .. string.sub(job, ID_LENGTH + 2)
  -- Another job may hold the key by now. A key of another type is left to the checker: it must not hold up the archive.
  if key and redis.pcall('GET', key) == id then unique_keys[#unique_keys + 1] = key end
  stored[id], keys[2 * i - 1], keys[2 * i] = true, ended_key(id), spec_key(id)
end
local outbox = P .. 'outbox'
local function is_archived(id) return stored[id] or redis.call('EXISTS', ended_key(id)) == 0 end
repeat -- until the first job is one that is not stored: jobs that others stored out of order must not hide it
  local head, count = redis.call('LRANGE', outbox, 0, #ARGV - 1), 0
  while head[count + 1] and is_archived(head[count + 1]) do count = count + 1 end
  if count > 0 then redis.call('LTRIM', outbox, count, -1) end
until count == 0
if #unique_keys > 0 then redis.call('UNLINK', unpack(unique_keys)) end
return redis.call('UNLINK', unpack(keys)) / 2
