-- Live events.
-- include: keys
local BACKLOG = 300 -- events of a user that are kept for clients that come back, and at most 100 more
local is_any_watched -- by a live connection; read once in a script
local is_watched = {} -- by user, read once in a script

-- Whether there is anybody to publish events to. While there is nobody, it costs one EXISTS a script.
local function has_watchers()
  if is_any_watched == nil then is_any_watched = redis.call('EXISTS', P .. 'watched') == 1 end
  return is_any_watched
end

-- Publish an event to the live connections of a user, and keep it for those that come back. Without the rights to do so there
-- are no live events: a job matters more than its events.
local function emit(user, event)
  if not has_watchers() then return end
  local key = backlog_key(user)
  if is_watched[user] == nil then is_watched[user] = redis.call('EXISTS', key) == 1 end
  if not is_watched[user] then return end
  local entry = redis.pcall('XADD', key, 'MAXLEN', '~', BACKLOG, '*', 'e', event)
  redis.pcall('PUBLISH', P .. 'events:' .. user, entry.err and event or entry .. ' ' .. event)
end

-- Publish a job's new state.
local function publish(user, id, state, attempts)
  if has_watchers() then emit(user, id .. ' ' .. state .. ' ' .. attempts) end
end
