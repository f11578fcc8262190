#!lua flags=allow-oom
-- Record how attempts ended, free their slots, and put their lanes back in the ring if they have work.
-- Guarantee: fenced: a finish whose lease was given to another changes nothing. Cost: O(log n) a job. With more jobs than
-- Lua's stack has room for it fails before it has changed anything: send them in pieces.
-- KEYS[1] prefix
-- ARGV[1] worker   ARGV[2..] for each job: lease (<token>:<id>), user, outcome (succeeded | failed | cancelled | retrying),
--   attempt, start in microseconds since 2020, body (JSON text: the result, or the error), delay of the retry in ms
-- Reply: for each job 1 recorded, 0 the lease was another's
if #ARGV == 1 then return {} end
assert(#ARGV <= 1 + 7 * 2000, 'too many jobs at once')
local held, known_keys = {}, {}
for at = 2, #ARGV, 7 do
  held[#held + 1] = ARGV[at]
  known_keys[#known_keys + 1] = job_key(id_of(ARGV[at]))
end
local scores = redis.call('ZMSCORE', P .. 'leases', unpack(held))
local any_known = redis.call('EXISTS', unpack(known_keys)) > 0
local any_cancel = redis.call('EXISTS', P .. 'cancels') == 1
local replies, users, seen, NOTHING = {}, {}, {}, {}
for i, lease in ipairs(held) do
  replies[i] = 0
  if scores[i] and not seen[lease] then
    local at = 7 * i - 5
    local user, outcome, attempt, id = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], id_of(lease)
    local reason = any_cancel and take_cancel(id)
    if reason and outcome == 'retrying' then outcome = 'cancelled' end
    if outcome == 'retrying' then
      retry_job(user, id, attempt, tonumber(ARGV[at + 6]),
        { 'worker', ARGV[1], 'started_us', ARGV[at + 4], 'error', ARGV[at + 5] })
    else
      local known = any_known and redis.call('HMGET', known_keys[i], 'progress', 'note') or NOTHING
      end_job(user, id, outcome, attempt, ARGV[at + 4], ARGV[1], outcome == 'succeeded' and 'result' or 'error',
        ARGV[at + 5], outcome == 'cancelled' and reason or '', known)
    end
    replies[i], seen[lease] = 1, true
    if not users[user] then
      users[user] = true
      users[#users + 1] = user
    end
  end
end
for _, user in ipairs(users) do update_ring(user) end
redis.call('ZREM', P .. 'leases', unpack(held)) -- only now: had this script failed, they would finish once more
flush()
return replies
