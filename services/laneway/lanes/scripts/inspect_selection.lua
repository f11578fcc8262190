#!lua flags=no-writes
-- Find jobs that have not ended and match a filter, a piece at a time, without reading their requests.
-- Guarantee: a job that is about to be claimed is found at its old place or at its new one: pieces go from the waiting jobs,
-- newest first, to those that run. Cost: O(jobs looked at + log n).
-- include: keys, jobs, delays
-- KEYS[1] prefix
-- ARGV[1] lane | delayed, which jobs   ARGV[2] user; '' for the delayed jobs of all users
-- ARGV[3] only those before this score, exclusive; '+inf' for the first piece   ARGV[4] maximum of jobs to look at
-- ARGV[5] accepted until, ARGV[6] seq from, ARGV[7] seq before, microseconds since 2020
-- ARGV[8] type, '' for any   ARGV[9] states, a comma before and behind each
-- Reply: {ARGV[3] of the next piece or '' after the last, {user, id, state}...}
local is_delayed, user, limit, states = ARGV[1] == 'delayed', ARGV[2], tonumber(ARGV[4]), ARGV[9]
local until_us, from_us, before_us = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local key = is_delayed and (user == '' and P .. 'delayed' or delayed_key(user)) or lane_key(user)
local found = redis.call('ZRANGE', key, '(' .. ARGV[3], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit, 'WITHSCORES')
local replies = { #found == 2 * limit and found[#found] or '' }

local function is_wanted(seq, state, accepted_us)
  return seq >= from_us and seq < before_us and accepted_us <= until_us and string.find(states, ',' .. state .. ',', 1, true)
end
local function look_at_delayed(id)
  local later = redis.call('GETRANGE', later_key(id), 0, 16 + MAX_HEAD_BYTES)
  local accepted_us, owner, type_name = string.match(later, '^(%d+)\n([^\n]*)\n([^\n\t]*)[^\n]*\n')
  if accepted_us and is_wanted(seq_of(id), 'queued', tonumber(accepted_us)) and (ARGV[8] == '' or ARGV[8] == type_name) then
    replies[#replies + 1] = { owner, id, 'queued' }
  end
end
local function look_at(id)
  local seq, state = seq_of(id), redis.call('HGET', job_key(id), 'state') or 'queued'
  if not is_wanted(seq, state, seq) then return end
  if ARGV[8] ~= '' then
    local _, _, type_name = read_head(id)
    if type_name ~= ARGV[8] then return end
  end
  replies[#replies + 1] = { user, id, state }
end
for i = 1, #found, 2 do
  if is_delayed then look_at_delayed(string.sub(found[i], -ID_LENGTH)) else look_at(found[i]) end
end
return replies
