-- The names of keys. KEYS[1] is the prefix P, for example `{laneway:0}:1:`. Every other key is derived from it.
--
-- The catalogue (services/laneway/lanes/keys.py has the names that Python uses):
--   P lane:<user>   ZSET   job id -> score (_bands.lua)   every job that the lane holds; no key when it holds none
--   P spec:<id>     STRING lines: user, type, max attempts; then the request. Never changes. Behind the type of a job with a
--                          unique key: a tab and the key; of a schedule's job: a tab, the schedule, a tab, the key or ''
--   P job:<id>      HASH   state attempts worker started_us error progress note log   from the first start to the end
--   P lines:<id>    LIST   what the present run has logged, a line each (JSON): the newest; expires
--   P ended:<id>    STRING lines: state, attempts, finished_us, started_us, worker, result | error, reason, progress, note,
--                          user ('' for none; reason and note as JSON; behind a user whose job has logged: a tab and the log,
--                          as in _logs.lua); then the result or the error. From the end on
--   P ring          ZSET   user -> tick                lanes with a job that may start, in round-robin order
--   P lanes         ZSET   user -> 0                   lanes that exist, in order of name
--   P leases        ZSET   <token>:<id> -> deadline    ms; one member for each job in flight, and no counter beside it
--   P retries       ZSET   id -> due time              ms; jobs that may not start before that: most wait for their next attempt
--   P delayed       ZSET   <user>:<id> -> seq          jobs that enter their lane at that moment (_delays.lua)
--   P delayed:<user>       ZSET   id -> seq            those of one user; no key when there are none
--   P later:<id>    STRING when it was accepted, microseconds since 2020; then the spec. Until a delayed job enters its lane
--   P outbox        LIST   ids                         ended jobs that MongoDB does not have yet
--   P cancels       HASH   id -> reason                running jobs that were asked to stop
--   P losses        HASH   id -> '<suspect 0|1> <alone> <workers>'   jobs that were lost with their process or worker: how
--                          often alone in a process, with how many workers in a row; until an attempt ends by itself
--   P limits        HASH   * | c:<user> -> slots; p:<user> -> 1 while the lane is paused
--   P limited       HASH   type -> '<max running> <max starts> <period, ms> <when a worker declared it, ms since 2020>' (0: no
--                          such limit); of two releases the larger limits (_declaring.lua)
--   P permits:<type>       ZSET   lease -> when it was given, microseconds since 2020; it holds while the lease is in P leases
--   P waiting:<type>       ZSET   id -> since when it waits for a permit, microseconds since 2020
--   P starts:<type>        LIST   when the latest jobs got their permits, microseconds since 2020, newest first; expires
--   P expiry        HASH   last, since, up_to          ms; the last expire, since when without a gap, the deadline it reached
--   P clock         STRING the last tick, microseconds since 2020, strictly increasing
--   P turn          STRING the turn message (opaque bytes with a placeholder)
--   P turns         LIST   turn messages that no worker has taken yet
--   P wakeups       LIST   wake-ups for processes that stand by
--   P wakeups:<process>    LIST   a wake-up that a process pushes to end its own wait; expires
--   P idem:<user>:<key>    STRING fingerprint and ids ('=' before the id of a duplicate); expires
--   P unique:<user>:<key>  STRING id of the job that holds the unique key while it is in its lane or delayed (_unique.lua)
--   P rate:<user>          STRING the rate limiter's virtual time, microseconds since 2020; expires
--   P revoked:<token id>   STRING expires with the token; written by services/laneway/api/revocations.py
--   P revoked:log-ins/<user>  STRING Unix ms; earlier log-ins of the user do not count any more
--   P code:<SHA-256>       STRING user whom a log-in link of `laneway dev` logs in; expires
--   P presence      ZSET   user -> last sign of life   ms since 2020; after a log-out minus its time in microseconds
--   P connections:<user>   ZSET connection -> ms since 2020 at which it runs out unless renewed; expires as a whole
--   P watch         HASH   last, since, gap            ms; the last heartbeat of any API process, since when without a gap,
--                          the length of a gap that counts as an outage
--   P departed      ZSET   user -> microseconds since 2020   disconnected users whose lanes were not dealt with yet
--   P archiver      STRING token of the janitor that archives; expires
--   P reports:<kind>       ZSET   name of a program -> ms since 2020 at which its report runs out; kinds: workers, pools; expires
--   P report:<kind>/<name> STRING what a worker's lease keeper, or the operator about a pool, says (JSON); expires
--   P watched       STRING exists while any user has a live connection, and a while longer; expires
--   P backlog:<user>       STREAM latest events of a user who has, or lately had, a live connection; expires. Field e of an entry:
--                          "<id> <state> <attempts>" or "<id> progress <percent> <note>"; '' in the first entry
--   P events:<user>        channel: "<entry in the backlog> <event>", or "<id> log <attempt> <lines>", which no backlog has
local P = KEYS[1]
local ID_LENGTH = 25

local function int(number) return string.format('%d', number) end
local function lane_key(user) return P .. 'lane:' .. user end
local function spec_key(id) return P .. 'spec:' .. id end
local function job_key(id) return P .. 'job:' .. id end
local function lines_key(id) return P .. 'lines:' .. id end
local function backlog_key(user) return P .. 'backlog:' .. user end
local function ended_key(id) return P .. 'ended:' .. id end
-- A job id is its seq in 13 hex digits and a nonce of 12. The seq is the tick at which the job enters its lane: that of its
-- acceptance, unless it is delayed.
local function seq_of(id) return tonumber(string.sub(id, 1, 13), 16) end
local function id_of(lease) return string.sub(lease, -ID_LENGTH) end
