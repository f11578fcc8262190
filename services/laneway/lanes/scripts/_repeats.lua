-- Idempotency keys: an enqueue that is repeated with its key accepts nothing, and gets the jobs of the first time.
-- include: keys, bands

-- The place of a job among the jobs of its lane that may start, from 1; 0 if it is not among them.
local function position_of(user, id)
  local score = redis.call('ZSCORE', lane_key(user), id)
  return score and is_startable(score) and redis.call('ZCOUNT', lane_key(user), int(DUE), score) or 0
end

-- The reply to an enqueue whose idempotency key is known; nil if it is not.
local function repeated_reply(user, idem_key, fingerprint)
  local known = redis.call('GET', idem_key)
  if not known then return nil end
  local blank = string.find(known, ' ', 1, true)
  if string.sub(known, 1, blank - 1) ~= fingerprint then return { 'mismatch' } end
  local reply = { 'repeated', 0 }
  for id in string.gmatch(string.sub(known, blank), '%S+') do reply[#reply + 1] = id end
  reply[2] = position_of(user, id_of(reply[3]))
  return reply
end
