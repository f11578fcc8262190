#!lua flags=allow-oom
-- Record how attempts ended, free their slots, and put their lanes back in the ring if they have work. An end of its own clears
-- a job's losses. A job that was interrupted (queued) comes back at once: it is not charged, and its losses stay.
-- Guarantee: fenced: a finish whose lease was given to another process changes nothing. Cost: O(log n) a job. With more
-- jobs than Lua's stack has room for it fails before it has changed anything: send them in pieces.
-- include: keys, jobs, logs, ends, returns, ring, types
-- before changes: EXISTS, TYPE, ZMSCORE, leases
-- KEYS[1] prefix
-- ARGV[1] worker   ARGV[2..] for each job: lease (<token>:<id>), user, outcome (succeeded | failed | cancelled | retrying |
--   queued; of a run that has logged, or after which the job goes on: then a tab and its log, or LOST), attempt, start in
--   microseconds since 2020, body (JSON text: the result, or the error), delay of the retry in ms
-- Reply: for each job 1 recorded, 0 the lease was another's
if #ARGV == 1 then return {} end
assert(#ARGV <= 1 + 7 * 2000, 'too many jobs at once')
local leases, job_hashes, comes_any_back = {}, {}, false
for at = 2, #ARGV, 7 do
  leases[#leases + 1] = ARGV[at]
  job_hashes[#job_hashes + 1] = job_key(id_of(ARGV[at]))
  local initial = string.byte(ARGV[at + 2])
  comes_any_back = comes_any_back or initial == 114 or initial == 113 -- retrying, queued
end
local deadlines = redis.call('ZMSCORE', P .. 'leases', unpack(leases))
local is_any_cancelled = redis.call('EXISTS', P .. 'cancels') == 1
if comes_any_back then -- then a job changes before the next one is read; otherwise ends change last
  for i, lease in ipairs(leases) do
    if deadlines[i] then drop_foreign_keys(ARGV[7 * i - 4], id_of(lease)) end
  end
end
local is_any_known = redis.call('EXISTS', unpack(job_hashes)) > 0
local replies, is_seen, cleared, logged = {}, {}, {}, {}
local LONGEST = #'succeeded' -- a longer outcome has a log: with the shortest, LOST, 'failed' is longer than this
for i, lease in ipairs(leases) do
  replies[i] = 0
  if deadlines[i] and not is_seen[lease] then
    replies[i], is_seen[lease] = 1, true
    local at = 7 * i - 5
    local user, outcome, attempt, started_us, body = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
    local id = id_of(lease)
    local log
    if #outcome > LONGEST then
      outcome, log = string.match(outcome, '^(%a+)\t(.*)$')
      if log == LOST then log = lost_run(id, attempt, started_us, ARGV[1], outcome == 'retrying' and body) end
      log = add_run(is_any_known and fields_of(job_hashes[i], 'log')[1], log)
      logged[#logged + 1] = lines_key(id)
    end
    local reason = is_any_cancelled and take_cancel(id)
    if reason and (outcome == 'retrying' or outcome == 'queued') then outcome = 'cancelled' end
    if outcome == 'queued' then
      bring_back_uncharged(user, id, attempt, { 'worker', ARGV[1], 'started_us', started_us, log and 'log', log }, 0)
    elseif outcome == 'retrying' then
      cleared[#cleared + 1] = id
      local fields = { 'worker', ARGV[1], 'started_us', started_us, 'error', body, log and 'log', log }
      bring_back(user, id, { state = outcome, attempts = attempt, fields = fields }, tonumber(ARGV[at + 6]))
    else
      local rest = NO_REST
      if is_any_known or reason then
        local known = fields_of(job_hashes[i], 'progress', 'note', 'log')
        rest, log = lines_of_rest(outcome == 'cancelled' and reason, known[1], known[2]), log or known[3]
      end
      stage_end(user, id, outcome, attempt, lines_of_run(outcome, attempt, started_us, ARGV[1]) ..
        (outcome == 'succeeded' and 'result\n' or 'error\n') .. rest .. lines_of_body(user, log, body))
    end
    touch(user)
  end
end
if #logged > 0 then redis.call('UNLINK', unpack(logged)) end
if #cleared > 0 then redis.call('HDEL', P .. 'losses', unpack(cleared)) end
flush_ends(not is_any_known)
flush_ring()
redis.call('ZREM', P .. 'leases', unpack(leases)) -- last: had this script failed before, the jobs would finish once more
return replies
