-- Appends a group of events to the stream of all events and to the streams of their runs, under one id.
--
-- KEYS: the feed's hash, the stream of all events, the set of open roots, then the stream of each run in the group.
-- ARGV: the id that a new feed gets, the capacities in entries of the stream of all and of a run's, the lifetime of a
--       run's stream in ms, the most open roots, how many events there are, how many roots open, how many close; then
--       the open roots and their times by turns, then those that close, then for each run which events of the group are
--       its own, and these.
local feed, all, open = KEYS[1], KEYS[2], KEYS[3]
local count, opening, closing = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local first = 9 + 2 * opening + closing

local n = redis.call('HINCRBY', feed, 'n', count) - count
if n == 0 then
  redis.call('HSET', feed, 'id', ARGV[1])
end

local number, fields = string.format('%d:', n + 1), {}
for i = first, #ARGV, 2 do
  fields[#fields + 1] = number .. ARGV[i]
  fields[#fields + 1] = ARGV[i + 1]
end

local id = redis.call('XADD', all, 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
for run = 1, #KEYS - 3 do
  local key, name, events = KEYS[3 + run], fields[2 * run - 1], fields[2 * run]
  local added = redis.pcall('XADD', key, 'MAXLEN', '~', ARGV[3], id, name, events)
  if type(added) == 'table' and added.err then
    -- It is of a feed that was before this one, and its ids are of a later time.
    redis.call('DEL', key)
    redis.call('XADD', key, id, name, events)
  end
  redis.call('PEXPIRE', key, ARGV[4])
end

for i = 1, opening do
  redis.call('ZADD', open, ARGV[8 + 2 * i], ARGV[7 + 2 * i])
end
for i = 1, closing do
  redis.call('ZREM', open, ARGV[8 + 2 * opening + i])
end
if opening > 0 then
  redis.call('ZREMRANGEBYRANK', open, 0, -1 - tonumber(ARGV[5]))
end
return id
