-- Redis's time. A pod's clock can neither expire a lease nor reorder a lane.
local EPOCH_SECONDS = 1577836800 -- 2020-01-01T00:00:00Z
local time = redis.call('TIME')
local now_us = (time[1] - EPOCH_SECONDS) * 1000000 + time[2]
local now_ms = math.floor(now_us / 1000)
