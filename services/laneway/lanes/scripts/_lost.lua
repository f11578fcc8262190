-- Jobs whose spec is lost.
-- include: keys, ends
local LOST_ERROR = '{"type":"Lost","message":"Redis has lost the request"}'

-- Does a text look like the spec of one of the user's jobs?
local function is_spec_of(user, spec)
  return spec and string.match(spec, '^([^\n]*)\n[^\n]*\n%d+\n') == user
end

-- Stage the end of a job whose spec is lost: failed, with the reason `lost`. A spec that names its user takes its place, so
-- that the job reaches the user's history.
local function stage_lost(user, id)
  redis.call('SET', spec_key(id), user .. '\nunknown\n0\nnull')
  stage_end(user, id, 'failed', '0', lines_of_run('failed', '0') .. 'error\n' .. lines_of_rest('lost') ..
    lines_of_body(user, nil, LOST_ERROR))
end
