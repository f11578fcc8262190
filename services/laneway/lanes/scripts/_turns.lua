-- Turn messages and wake-ups: how workers learn that the ring has work.
-- include: keys, ticks
local MAX_TURNS, MAX_WAKEUPS = 64, 64
local TURN_PLACEHOLDER = '@turn-id-placeholder-------------@'

-- Run a step at the end of a script, and pass over a key that holds a value of another type: what the script did before stays
-- whole, and the janitor rebuilds ring, turns and wake-ups from the lanes within a second.
local function pass_over_types(step, argument)
  local is_done, failure = pcall(step, argument)
  if is_done then return end
  local text = type(failure) == 'table' and failure.err or tostring(failure)
  if not string.find(text, 'WRONGTYPE', 1, true) then error(failure) end
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

-- Add a wake-up and a turn message, unless there are as many as the ring can use.
local function add_wakeups()
  local wanted = redis.call('ZCARD', P .. 'ring')
  if wanted == 0 then return end
  if redis.call('LLEN', P .. 'wakeups') < math.min(wanted, MAX_WAKEUPS) then redis.call('RPUSH', P .. 'wakeups', '1') end
  if redis.call('LLEN', P .. 'turns') < math.min(wanted, MAX_TURNS) then push_turn() end
end

local function wake_workers() pass_over_types(add_wakeups) end
