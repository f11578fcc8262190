#!lua flags=no-writes
-- The oldest ended jobs that MongoDB does not have yet, whole. Cost: O(jobs).
-- KEYS[1] prefix
-- ARGV[1] most jobs   ARGV[2] how many of the oldest to pass over   ARGV[3] bytes after which nothing is added any more
-- Reply: {{id...}, {spec...}, {ended...}}, the texts nil where others have archived the job meanwhile
local ids = redis.call('LRANGE', P .. 'outbox', tonumber(ARGV[2]), ARGV[1] + ARGV[2] - 1)
if #ids == 0 then return { {}, {}, {} } end
local PIECE = 16 -- so many at a time: what is too much is at most a piece
local found, specs, ends, bytes = {}, {}, {}, 0
for first = 1, #ids, PIECE do
  local last, keys = math.min(first + PIECE - 1, #ids), {}
  for i = first, last do
    keys[#keys + 1] = spec_key(ids[i])
    keys[#keys + 1] = ended_key(ids[i])
  end
  local texts_found = redis.call('MGET', unpack(keys))
  for i = first, last do
    local at = 2 * (i - first) + 1
    local spec, text = texts_found[at], texts_found[at + 1]
    found[i], specs[i], ends[i] = ids[i], spec, text
    bytes = bytes + (spec and #spec or 0) + (text and #text or 0)
  end
  if bytes >= tonumber(ARGV[3]) then break end
end
return { found, specs, ends }
