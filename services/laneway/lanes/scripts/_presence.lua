-- Who is connected.
-- include: keys, time
local presence_key, departed_key, watch_key = P .. 'presence', P .. 'departed', P .. 'watch'

local function connections_key(user) return P .. 'connections:' .. user end
local function is_connected(user) return redis.call('ZCOUNT', connections_key(user), int(now_ms), '+inf') > 0 end
