-- Places in flight of endpoints, leased by worker processes; see delivery/limiting/places.py.
--
-- KEYS: a hash for each endpoint: process -> "places until", the latter in milliseconds since the epoch.
-- ARGV: process, lease in milliseconds; then for each endpoint: its cap, how many places the process wants in all.
-- Answer: for each endpoint how many the process has now.

local process, lease = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local until_text = string.format('%.0f', now + lease)

local function taken_by_others(key)
  local entries, taken = redis.call('HGETALL', key), 0
  for index = 1, #entries, 2 do
    local places, ends = string.match(entries[index + 1], '^(%d+) (%d+)$')
    if not ends or tonumber(ends) <= now then
      redis.call('HDEL', key, entries[index])
    elseif entries[index] ~= process then
      taken = taken + tonumber(places)
    end
  end
  return taken
end

local answers = {}
for index, key in ipairs(KEYS) do
  local cap, wanted = tonumber(ARGV[1 + 2 * index]), tonumber(ARGV[2 + 2 * index])
  local places = math.max(math.min(wanted, cap - taken_by_others(key)), 0)
  if places > 0 then
    redis.call('HSET', key, process, places .. ' ' .. until_text)
    redis.call('PEXPIRE', key, lease)
  else
    redis.call('HDEL', key, process)
  end
  answers[index] = places
end
return answers
