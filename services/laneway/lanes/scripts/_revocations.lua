-- Tokens and API keys that have been revoked (written by services/laneway/api/revocations.py, which reads them likewise).
-- include: keys

-- `logged_in_ms`: time of the log-in that the token stands for, Unix ms; 0 for an API key.
local function is_revoked(user, token, logged_in_ms)
  local revoked = redis.call('MGET', P .. 'revoked:' .. token, P .. 'revoked:log-ins/' .. user)
  local is_old = revoked[2] and logged_in_ms > 0 and logged_in_ms <= tonumber(revoked[2])
  return revoked[1] or is_old
end
