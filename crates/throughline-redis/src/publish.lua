-- Appends a group of events to the stream of all events and to the streams of their runs, under one id.
--
-- KEYS: the feed's hash, the stream of all events, the set of open roots, then the stream of each run in the group.
-- ARGV: the id that a new feed gets, the capacities in entries of the stream of all and of a run's, the lifetime of a
--       run's stream in ms, the most open roots, how many roots open, how many close; then the open roots and their
--       times by turns, then those that close, then for each event the place of its run among the runs, a mark, its JSON.
local feed, all, open = KEYS[1], KEYS[2], KEYS[3]
local opening, closing = tonumber(ARGV[6]), tonumber(ARGV[7])
local first = 8 + 2 * opening + closing
local count = (#ARGV - first + 1) / 3

local n = redis.call('HINCRBY', feed, 'n', count) - count
if n == 0 then
  redis.call('HSET', feed, 'id', ARGV[1])
end

local entry, runs = {}, {}
for i = 1, count do
  local at = first + 3 * (i - 1)
  local field = string.format('%d', n + i) .. ARGV[at + 1]
  local run, event = tonumber(ARGV[at]), ARGV[at + 2]
  entry[#entry + 1] = field
  entry[#entry + 1] = event
  local fields = runs[run]
  if not fields then
    fields = {}
    runs[run] = fields
  end
  fields[#fields + 1] = field
  fields[#fields + 1] = event
end

local id = redis.call('XADD', all, 'MAXLEN', '~', ARGV[2], '*', unpack(entry))
for run, fields in pairs(runs) do
  local key = KEYS[3 + run]
  local added = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[3], id, unpack(fields))
  if type(added) == 'table' and added.err then
    -- It is of a feed that was before this one, and its ids are of a later time.
    redis.call('DEL', key)
    redis.call('XADD', key, id, unpack(fields))
  end
  redis.call('PEXPIRE', key, ARGV[4])
end

for i = 1, opening do
  redis.call('ZADD', open, ARGV[7 + 2 * i], ARGV[6 + 2 * i])
end
for i = 1, closing do
  redis.call('ZREM', open, ARGV[7 + 2 * opening + i])
end
if opening > 0 then
  redis.call('ZREMRANGEBYRANK', open, 0, -1 - tonumber(ARGV[5]))
end
return id
