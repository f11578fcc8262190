#!lua flags=no-writes
-- Read the oldest ended jobs that MongoDB does not have yet. Cost: O(jobs).
-- include: keys
-- KEYS[1] prefix
-- ARGV[1] maximum of jobs   ARGV[2] how many of the oldest to skip   ARGV[3] bytes after which no more are added
-- Reply: {{id...}, {spec...}, {ended...}}; a text is nil if another janitor has archived the job meanwhile
local ids = redis.call('LRANGE', P .. 'outbox', tonumber(ARGV[2]), ARGV[1] + ARGV[2] - 1)
if #ids == 0 then return { {}, {}, {} } end
local PIECE = 16 -- jobs read at a time: so many may exceed the bytes
local found, specs, ends, bytes = {}, {}, {}, 0
for first = 1, #ids, PIECE do
  local last, keys = math.min(first + PIECE - 1, #ids), {}
  for i = first, last do
    keys[#keys + 1] = spec_key(ids[i])
    keys[#keys + 1] = ended_key(ids[i])
  end
  local texts = redis.call('MGET', unpack(keys))
  for i = first, last do
    local at = 2 * (i - first) + 1
    local spec, ended = texts[at], texts[at + 1]
    found[i], specs[i], ends[i] = ids[i], spec, ended
    bytes = bytes + (spec and #spec or 0) + (ended and #ended or 0)
  end
  if bytes >= tonumber(ARGV[3]) then break end
end
return { found, specs, ends }
