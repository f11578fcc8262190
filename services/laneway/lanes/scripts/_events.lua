-- Live events.
-- include: keys
local is_anybody_connected -- read once in a script

-- Publish a job's new state to the connections of its user. Without the right to publish there are no live events: a job
-- matters more than its event.
local function publish(user, id, state, attempts)
  if is_anybody_connected == nil then is_anybody_connected = redis.call('EXISTS', P .. 'presence') == 1 end
  if is_anybody_connected then redis.pcall('PUBLISH', P .. 'events:' .. user, id .. ' ' .. state .. ' ' .. attempts) end
end
