-- A script reads the top-level names of the shared files that its header includes, and no others.
std = "lua51"
max_line_length = false
local folder = "services/laneway/lanes/scripts/"

local function top_level_names(file)
    local names = {}
    for line in io.lines(folder .. file) do
        local found = line:match("^local function ([%w_]+)") or line:match("^local ([%w_, ]+)") or ""
        for name in found:gmatch("[%w_]+") do names[#names + 1] = name end
    end
    return names
end

for path in io.popen("ls " .. folder .. "*.lua"):lines() do
    local globals = { "redis", "KEYS", "ARGV", "cjson" }
    for line in io.lines(path) do
        for name in (line:match("^%-%- include: (.+)") or ""):gmatch("[%w_]+") do
            for _, global in ipairs(top_level_names("_" .. name .. ".lua")) do globals[#globals + 1] = global end
        end
    end
    local is_shared = path:match("/_%w+%.lua$")
    files[path] = { read_globals = globals, ignore = is_shared and { "211" } or nil } -- shared names are for others
end
