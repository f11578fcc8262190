-- Shared prelude: put before every script by the loader (after its `#!lua` line).
--
-- KEYS[1] is the prefix P of all keys, for example `{laneway:0}:1:`; every other key is derived from it.
-- The catalogue (services/laneway/lanes/keys.py has the same list for Python):
--   P lane:<user>   ZSET  job id -> band + seq        all that the lane holds; gone when it holds nothing
--   P spec:<id>     STRING lines: user, type, max attempts; then the request. Never changes
--   P job:<id>      HASH  state attempts worker started_us error progress note    only while there is any: a job
--                         that waits for its first start has none, and one that ends before its start is told neither
--   P ended:<id>    STRING lines: state, attempts, finished_us, started_us, worker, result | error, reason, progress, note
--                         ('' for none, reason and note as JSON); then the result or the error. From its end on
--   P ring          ZSET  user -> tick                lanes with a startable job, in round-robin order
--   P lanes         ZSET  user -> 0                   lanes that exist (for paging, in order of name)
--   P leases        ZSET  <token>:<id> -> deadline    ms; one member a job in flight: nothing else counts them
--   P retries       ZSET  id -> due time              ms; failed jobs that wait for their next attempt
--   P outbox          LIST  ids                         ended jobs that MongoDB does not have yet
--   P cancels       HASH  id -> reason                running jobs that were asked to stop
--   P suspicions        HASH  id -> how often             jobs whose process died before it was known that they had started
--   P limits        HASH  * | c:<user> -> slots, p:<user> -> 1 while paused
--   P expiry        HASH  last, since, up_to          ms; when janitors looked last, since when without a gap, how far they got
--   P clock         STRING last tick, microseconds since 2020, strictly increasing
--   P turn          STRING the turn message (opaque bytes with a placeholder), P turns LIST where it is pushed
--   P wakeups          LIST  wakes processes that stand by
--   P idem:<user>:<key>  P rate:<user>  P revoked:<token id>   STRING with a time to live
--   P presence     ZSET  user -> last sign of life    ms; written by services/laneway/presence.py, here only looked at
--   P events:<user>      channel: "<id> <state> <attempts>"
--
-- A job's seq is the tick of its acceptance and the head of its id. Its score in the lane says where it is, so
-- that the lowest scores are in flight, the next ones start next, and a job that comes back finds its old place:
--   claimed [-3W, -2W)   leased, not known to have started (state running: charged, about to start); no other process
--                        may be given jobs of this lane
--   started [-2W,  -W)   holds a slot: it runs (has a lease) or waits for a retry (is in P retries)
--   due     [ -W,   0)   holds a slot, may start again now
--   waiting [  0,   W)   holds no slot
local P = KEYS[1]
local W = 2251799813685248 -- 2^51: seq stays below it until the year 2091, and every score is exact in a double
local EPOCH_SECONDS = 1577836800 -- 2020-01-01T00:00:00Z
local ID_LENGTH = 25
local MAX_TURNS, MAX_WAKEUPS = 64, 64
local TURN_PLACEHOLDER = '@turn-id-placeholder-------------@'

local time = redis.call('TIME')
local now_us = (time[1] - EPOCH_SECONDS) * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)

local function int(number) return string.format('%.0f', number) end
local MINUS_W = '(' .. int(-W)
local function lane_key(user) return P .. 'lane:' .. user end
local function spec_key(id) return P .. 'spec:' .. id end
local function job_key(id) return P .. 'job:' .. id end
local function ended_key(id) return P .. 'ended:' .. id end
local function seq_of(id) return tonumber(string.sub(id, 1, 13), 16) end
local function id_of(lease) return string.sub(lease, -ID_LENGTH) end

-- Reserve `count` consecutive ticks and return the first: never a tick twice, even if the clock steps back.
local function tick(count)
  local first = math.max(now_us, tonumber(redis.call('GET', P .. 'clock') or '0') + 1)
  redis.call('SET', P .. 'clock', int(first + count - 1))
  return first
end

-- Slots of a lane; 0 while it is paused. (Looked up once a script as long as no user has a limit of its own.)
local default_slots
local function slots(user)
  if not default_slots then
    local set = redis.call('HGET', P .. 'limits', '*')
    default_slots = tonumber(set or '5')
    if redis.call('HLEN', P .. 'limits') > (set and 1 or 0) then default_slots = -default_slots end
  end
  if default_slots > 0 then return default_slots end
  local own = redis.call('HMGET', P .. 'limits', 'c:' .. user, 'p:' .. user)
  if own[2] then return 0 end
  return tonumber(own[1] or -default_slots)
end

-- How many slots of the lane are taken by jobs that may not start now (claimed or started).
local function busy(lane) return redis.call('ZCOUNT', lane, '-inf', MINUS_W) end

-- May a job of this lane start now? Second value: whether the lane holds nothing.
local function ready(user)
  local lane = lane_key(user)
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  if #first == 0 then return false, true end
  local score, cap = tonumber(first[2]), slots(user)
  if cap == 0 or score < -2 * W then return false end
  if score >= -W then return true end
  local taken = busy(lane)
  return taken < cap and redis.call('ZCARD', lane) > taken
end

-- User, max attempts and type of a job that Redis has; nothing otherwise. (The rest of the spec, the request, may be long.)
local MAX_HEAD = 512 -- as in services/laneway/lanes/texts.py
local function head_of(id)
  local head = redis.call('GETRANGE', spec_key(id), 0, MAX_HEAD - 1)
  local user, kind, most = string.match(head, '^([^\n]*)\n([^\n]*)\n(%d+)\n')
  return user, most, kind
end

-- Why a job was asked to stop, for whoever ends it or gives it back now; false if it was not.
local function take_cancel(id)
  local reason = redis.call('HGET', P .. 'cancels', id)
  if reason then redis.call('HDEL', P .. 'cancels', id) end
  return reason
end

-- What flush() will do, each in one command: lanes in order of the first settle and what came of the last one, jobs that
-- left their lanes, jobs that ended with the texts of their ends.
local lanes_seen, lane_is, leaving = {}, {}, {}
local ended, texts, hashes = {}, {}, {}

-- Put the lane in the ring if and only if it is ready; forget a lane that holds nothing.
local function update_ring(user)
  local gone = leaving[user]
  if gone then
    redis.call('ZREM', lane_key(user), unpack(gone))
    leaving[user] = nil
  end
  local is_ready, is_empty = ready(user)
  if not lane_is[user] then lanes_seen[#lanes_seen + 1] = user end
  lane_is[user] = is_ready and 'ready' or is_empty and 'empty' or 'busy'
end

-- Push a turn message, if a worker has said what one looks like.
local function push_turn()
  local message = redis.call('GET', P .. 'turn')
  if message then
    local id = string.format('%034.0f', tick(1))
    local from, to = string.find(message, TURN_PLACEHOLDER, 1, true)
    while from do
      message = string.sub(message, 1, from - 1) .. id .. string.sub(message, to + 1)
      from, to = string.find(message, TURN_PLACEHOLDER, to, true)
    end
    redis.call('LPUSH', P .. 'turns', message)
  end
end

-- Wake as many processes as the ring can use: those that stand by, and by turn messages those that do not.
local function call_workers()
  local wanted = redis.call('ZCARD', P .. 'ring')
  if wanted == 0 then return end
  if redis.call('LLEN', P .. 'wakeups') < math.min(wanted, MAX_WAKEUPS) then redis.call('RPUSH', P .. 'wakeups', '1') end
  if redis.call('LLEN', P .. 'turns') < math.min(wanted, MAX_TURNS) then push_turn() end
end

-- Last step of every script that called settle or end_job: a lane already in the ring keeps its place. `at_head`: lanes that
-- join were taken off the ring in vain, so they come before all others and not after them.
local function flush(at_head)
  if #ended > 0 then
    redis.call('MSET', unpack(texts))
    redis.call('UNLINK', unpack(hashes))
    redis.call('RPUSH', P .. 'outbox', unpack(ended))
    if redis.call('EXISTS', P .. 'suspicions') == 1 then redis.call('HDEL', P .. 'suspicions', unpack(ended)) end
  end
  local joining, out, empty = {}, {}, {}
  for _, user in ipairs(lanes_seen) do
    local list = lane_is[user] == 'ready' and joining or out
    list[#list + 1] = user
    if lane_is[user] == 'empty' then empty[#empty + 1] = user end
  end
  if #out > 0 then redis.call('ZREM', P .. 'ring', unpack(out)) end
  if #empty > 0 then redis.call('ZREM', P .. 'lanes', unpack(empty)) end
  if #joining > 0 then
    local first, members = tick(#joining), {}
    local head = at_head and redis.call('ZRANGE', P .. 'ring', 0, 0, 'WITHSCORES')[2]
    if head then first = tonumber(head) - #joining end
    for i, user in ipairs(joining) do
      members[2 * i - 1], members[2 * i] = first + i - 1, user
    end
    redis.call('ZADD', P .. 'ring', 'NX', unpack(members))
    call_workers()
  end
  lanes_seen, lane_is, ended, texts, hashes = {}, {}, {}, {}, {}
end

-- Tell those who listen, if anybody is connected at all.
local watched = redis.call('EXISTS', P .. 'presence') == 1
local function publish(user, id, state, attempts)
  if not watched then return end
  redis.call('PUBLISH', P .. 'events:' .. user, id .. ' ' .. state .. ' ' .. attempts)
end

-- Take an ended job out of its lane, at the next settle, and hand it to the archive. `started_us`, `worker`, `reason`: '' for
-- none. `outcome`: result | error, the name of what `body` is. `known`: the job's progress and note, if it has any.
local finished_us = int(now_us)
local function end_job(user, id, state, attempts, started_us, worker, outcome, body, reason, known)
  local progress, note = known[1] or '', known[2] and cjson.encode(known[2]) or ''
  if reason ~= '' then reason = cjson.encode(reason) end
  ended[#ended + 1] = id
  hashes[#hashes + 1] = job_key(id)
  texts[#texts + 1] = ended_key(id)
  texts[#texts + 1] = state .. '\n' .. attempts .. '\n' .. finished_us .. '\n' .. started_us .. '\n' .. worker .. '\n' ..
    outcome .. '\n' .. reason .. '\n' .. progress .. '\n' .. note .. '\n' .. body
  local gone = leaving[user]
  if gone then
    gone[#gone + 1] = id
  else
    leaving[user] = { id }
  end
  publish(user, id, state, attempts)
end

-- As end_job, for a job that no worker has in its hands, with what was known of it. `error`: what it failed of, '' for what
-- its last attempt failed of.
local function end_here(user, id, state, error, reason)
  local job = redis.call('HMGET', job_key(id), 'progress', 'note', 'attempts', 'started_us', 'worker', 'error')
  if error == '' then error = job[6] or '' end
  end_job(user, id, state, job[3] or '0', job[4] or '', job[5] or '', 'error', error, reason, job)
end

-- Give a started job back its place at the head of its lane, from `delay_ms` on. It keeps its slot.
local function retry_job(user, id, attempts, delay_ms, fields)
  redis.call('HDEL', job_key(id), 'progress', 'note') -- they were that attempt's
  redis.call('HSET', job_key(id), 'state', 'retrying', 'attempts', attempts, unpack(fields))
  if delay_ms > 0 then
    redis.call('ZADD', lane_key(user), 'XX', int(seq_of(id) - 2 * W), id)
    redis.call('ZADD', P .. 'retries', int(now_ms + delay_ms), id)
  else
    redis.call('ZADD', lane_key(user), 'XX', int(seq_of(id) - W), id)
  end
  publish(user, id, 'retrying', attempts)
end

-- Has a job with this score in its lane been charged its attempt?
local function charged(id, score)
  return tonumber(score) >= -2 * W or redis.call('HGET', job_key(id), 'state') == 'running'
end

-- Put a job that was claimed and did not start back where it was. True if it was asked to stop: then it has ended.
local function return_job(user, id)
  local reason = take_cancel(id)
  if reason then
    end_here(user, id, 'cancelled', '', reason)
    return true
  end
  local attempts = tonumber(redis.call('HGET', job_key(id), 'attempts') or '0')
  redis.call('ZADD', lane_key(user), 'XX', int(seq_of(id) - (attempts > 0 and W or 0)), id)
  return false
end

-- Make retries whose time has come startable.
local function promote(limit)
  local ids = redis.call('ZRANGE', P .. 'retries', '-inf', int(now_ms), 'BYSCORE', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    redis.call('ZREM', P .. 'retries', id)
    local user = head_of(id)
    if user then
      redis.call('ZADD', lane_key(user), 'XX', int(seq_of(id) - W), id)
      update_ring(user)
    end
  end
end
