-- A script runs as the prelude and itself in one: what the prelude names at its top level, every script can read.
std = "lua51"
max_line_length = false
read_globals = { "redis", "KEYS", "ARGV", "cjson", "cmsgpack", "bit", "struct" }
for line in io.lines("services/laneway/lanes/scripts/_lane.lua") do
    local names = line:match("^local function ([%w_]+)") or line:match("^local ([%w_, ]+)") or ""
    for name in names:gmatch("[%w_]+") do read_globals[#read_globals + 1] = name end
end
files["services/laneway/lanes/scripts/_lane.lua"] = { ignore = { "211", "431" } } -- all its names are for others
