-- Where a job is in its lane: its score is a band plus its seq.
-- include: keys
--
-- The lowest scores are in flight and the next ones start next. A job that comes back finds its old place by its seq:
--   CLAIMED [-3W, -2W)  leased and not known to run, or waits for its first start (is in P retries); nobody is given jobs of
--                       this lane
--   STARTED [-2W,  -W)  holds a slot: it runs (has a lease) or waits for a retry (is in P retries)
--   DUE     [ -W,   0)  holds its slot and may start again now
--   WAITING [  0,   W)  holds no slot
local W = 2251799813685248 -- 2^51: seq stays below it until the year 2091, and every score is exact in a double
local CLAIMED, STARTED, DUE, WAITING = -3 * W, -2 * W, -W, 0
local BELOW_DUE = '(' .. int(DUE) -- upper bound of the jobs that occupy a slot and cannot start now

local function score_in(band, seq) return int(band + seq) end
local function is_claimed(score) return tonumber(score) < STARTED end
local function is_startable(score) return tonumber(score) >= DUE end
-- Which band a startable score is in: the sign says it, since scores are negative in the due band and not in the waiting one.
local function is_due(score) return string.byte(score) == 45 end
