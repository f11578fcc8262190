#!lua flags=allow-oom
-- Take back the jobs that ran in a process that died, at once and uncharged, and wake workers if the ring has lanes. They
-- become suspects. A job that ran alone in its process has lost it: after enough of such losses it has failed. Of several jobs
-- nobody knows which one ended their process: none of them has a loss.
-- Guarantee: fenced. Cost: O(log n) a job.
-- include: ends, losses, ring, turns
-- KEYS[1] prefix
-- ARGV[1] worker   ARGV[2] maximum of losses   ARGV[3] error of a job that has failed by them (JSON text)
-- ARGV[4..] for each job: lease (<token>:<id>), attempt, start in microseconds since 2020
-- Reply: {user, id, returned | failed | cancelled, attempts, type}...
local was_alone = #ARGV == 6

local function count(losses)
  losses.is_suspect = 1
  if not was_alone then return nil, 0 end
  losses.alone = losses.alone + 1
  return losses.alone >= tonumber(ARGV[2]) and ARGV[3] or nil, 0
end

local leases, replies = {}, {}
for at = 4, #ARGV, 3 do leases[#leases + 1] = ARGV[at] end
drop_foreign_keys_of(leases)
for at = 4, #ARGV, 3 do
  local run = { attempt = ARGV[at + 1], fields = { 'worker', ARGV[1], 'started_us', ARGV[at + 2] } }
  replies[#replies + 1] = take_back(ARGV[at], run, count)
end
flush_ends()
flush_ring()
wake_workers()
return replies
