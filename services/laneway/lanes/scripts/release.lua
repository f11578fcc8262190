#!lua flags=allow-oom
-- Give back claimed jobs that have not started: each returns to its old place in its lane, uncharged, or is cancelled
-- if it was asked to stop. What was charged because it was about to start, and did not, is uncharged again. Lanes of which
-- nothing has started are the first of the ring: their turn was no turn.
-- Guarantee: fenced; a job that has started is left alone. Cost: O(log n) a job.
-- KEYS[1] prefix
-- ARGV[1..] for each job: lease (<token>:<id>), user
-- Reply: for each job 1 returned, 2 cancelled, 0 the lease is another's or the job has started
local replies = {}
for at = 1, #ARGV, 2 do
  local lease, user, id = ARGV[at], ARGV[at + 1], id_of(ARGV[at])
  local score = redis.call('ZSCORE', lane_key(user), id)
  local reply = 0
  if score and tonumber(score) < -2 * W and redis.call('ZREM', P .. 'leases', lease) == 1 then
    if charged(id, score) then
      if redis.call('HINCRBY', job_key(id), 'attempts', -1) == 0 then
        redis.call('UNLINK', job_key(id))
      else
        redis.call('HSET', job_key(id), 'state', 'retrying')
      end
    end
    reply = return_job(user, id) and 2 or 1
    update_ring(user)
  end
  replies[#replies + 1] = reply
end
flush(true)
return replies
