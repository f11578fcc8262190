-- Specs of delayed jobs.
-- include: delays

-- The spec of a delayed job that has not entered its lane; nil if it is lost or another user's.
local function later_spec(user, id)
  local later = redis.call('GET', later_key(id))
  local spec = later and string.sub(later, string.find(later, '\n', 1, true) + 1)
  return spec and string.sub(spec, 1, #user + 1) == user .. '\n' and spec or nil
end
