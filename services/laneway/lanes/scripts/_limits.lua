-- Slots and pauses of lanes.
-- include: keys
local DEFAULT_SLOTS = 5
local default_slots, all_alike -- read once in a script

-- Slots of a lane, and whether it is paused. A limit that is not a number counts as not set: no script fails because of it.
local function limits_of(user)
  if not default_slots then
    local set = redis.call('HGET', P .. 'limits', '*')
    default_slots = tonumber(set) or DEFAULT_SLOTS
    all_alike = redis.call('HLEN', P .. 'limits') == (set and 1 or 0)
  end
  if all_alike then return default_slots, false end
  local own = redis.call('HMGET', P .. 'limits', 'c:' .. user, 'p:' .. user)
  return tonumber(own[1]) or default_slots, own[2] ~= false
end

-- Slots that may be used now: none while the lane is paused.
local function usable_slots(user)
  local slots, is_paused = limits_of(user)
  return is_paused and 0 or slots
end
