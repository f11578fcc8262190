-- Bytes that the jobs of a user hold, estimated by a sample: a counter could drift.
local SAMPLE = 16

-- Bytes of the `count` jobs in the sorted set `key`. `text_key` gives the key of a job's text.
local function estimate_bytes(key, count, text_key)
  if count == 0 then return 0 end
  local sample, bytes = redis.call('ZRANDMEMBER', key, SAMPLE), 0
  for _, id in ipairs(sample) do bytes = bytes + redis.call('STRLEN', text_key(id)) end
  return bytes * count / #sample
end
