-- Turn messages and wake-ups: how workers learn that the ring has work.
-- include: keys, ticks
local MAX_TURNS, MAX_WAKEUPS = 64, 64
local TURN_PLACEHOLDER = '@turn-id-placeholder-------------@'

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
local function wake_workers()
  local wanted = redis.call('ZCARD', P .. 'ring')
  if wanted == 0 then return end
  if redis.call('LLEN', P .. 'wakeups') < math.min(wanted, MAX_WAKEUPS) then redis.call('RPUSH', P .. 'wakeups', '1') end
  if redis.call('LLEN', P .. 'turns') < math.min(wanted, MAX_TURNS) then push_turn() end
end
