-- Logs of jobs: how many of the oldest runs were dropped, then the runs, as JSON; between two of them a tab.
-- include: keys, time
local LOG_BYTES = 101000 -- of one job: two runs of the largest size (services/laneway/lanes/run_log.py)
local LOST = 'lost' -- in the place of a run's log: only `lines:<id>` has what the run has logged

-- Add a run to the log of a job, which is nil or false before the first. Drops the oldest runs of a log that is too long.
local function add_run(log, run)
  local dropped, runs = string.match(log or '', '^(%d+)\t(.*)$')
  dropped, runs = tonumber(dropped or 0), runs and runs .. '\t' .. run or run
  while #runs > LOG_BYTES do
    local tab = string.find(runs, '\t', 1, true)
    if not tab then break end
    dropped, runs = dropped + 1, string.sub(runs, tab + 1)
  end
  return int(dropped) .. '\t' .. runs
end

-- The log of a run that was cut short together with its process, as far as Redis has it. `started_us` and `worker` may be missing,
-- and `error` (JSON text) is missing unless the run was killed because of what it did.
local function lost_run(id, attempt, started_us, worker, error)
  local lines = redis.pcall('LRANGE', lines_key(id), 0, -1)
  return '{"attempt":' .. attempt .. ',"started_us":' .. (started_us or 'null') .. ',"worker":' ..
    (worker and cjson.encode(worker) or 'null') .. ',"lost":true,"ended_us":' .. int(now_us) ..
    (error and ',"outcome":"failed","error":' .. error or '') .. ',"lines":[' ..
    (lines.err and '' or table.concat(lines, ',')) .. ']}'
end
