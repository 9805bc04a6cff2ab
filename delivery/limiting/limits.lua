-- Slots for requests under an endpoint's and a tenant's rate limit. All times are microseconds.
-- The numbers and their meaning: delivery/limiting/limits.py.
--
-- KEYS: for each request the endpoint's key and the tenant's key.
-- ARGV: now (-1: the server's clock), horizon, lead, 1 to take or 0 to ask only, buckets a window; then for each request:
--       count, spacing, tenant's cap (0: no limit), width of the tenant's buckets.
-- Answer: for each request {granted, first slot from now, next ask from now}.

local now, horizon, lead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local take, WINDOW = ARGV[4] == '1', tonumber(ARGV[5])
if now < 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local latest = now + horizon

-- An endpoint: when its next slot may be at the soonest.
local free_at = {}

local function load_endpoint(key, spacing)
  local known = free_at[key] or tonumber(redis.call('GET', key) or '0')
  return math.min(known, latest + spacing) -- no more could have been taken, unless the clock or the limit was changed
end

-- A tenant: how many slots each bucket of time holds, and how many each window of WINDOW buckets.
local tenants = {}

local function load_tenant(key, width)
  local tenant = tenants[key]
  if tenant and tenant.width == width then return tenant end
  tenant = {width = width, low = math.floor(now / width) - WINDOW + 1, held = {}, sums = {}}
  tenant.high = math.floor(latest / width)
  local packed = redis.call('GET', key)
  if packed then
    local stored = cmsgpack.unpack(packed)
    if stored[1] == width then
      for index, count in ipairs(stored[3]) do
        local bucket = stored[2] + index - 1
        if count > 0 and bucket >= tenant.low and bucket <= tenant.high then tenant.held[bucket] = count end
      end
    end
  end
  local sum = 0
  for bucket = tenant.high + WINDOW - 1, tenant.low, -1 do
    sum = sum + (tenant.held[bucket] or 0) - (tenant.held[bucket + WINDOW] or 0)
    tenant.sums[bucket] = sum -- of the window that begins with this bucket
  end
  tenants[key] = tenant
  return tenant
end

-- The soonest time from `first` at which no window is full.
local function soonest(tenant, cap, first)
  local bucket, start = math.floor(first / tenant.width), nil
  repeat
    start = bucket
    for window = bucket, bucket - WINDOW + 1, -1 do
      if (tenant.sums[window] or 0) >= cap then
        bucket = window + WINDOW
        break
      end
    end
  until bucket == start
  return math.max(first, bucket * tenant.width)
end

-- How many of `count` slots lie in the buckets up to `bucket`.
local function slots_up_to(tenant, bucket, first, spacing, count)
  return math.max(0, math.min(count, math.ceil(((bucket + 1) * tenant.width - first) / spacing)))
end

local function fits(tenant, cap, first, spacing, count)
  local from = math.floor(first / tenant.width) - WINDOW + 1
  for window = from, math.floor((first + (count - 1) * spacing) / tenant.width) do
    local added = slots_up_to(tenant, window + WINDOW - 1, first, spacing, count)
      - slots_up_to(tenant, window - 1, first, spacing, count)
    if added > 0 and (tenant.sums[window] or 0) + added > cap then return false end
  end
  return true
end

local function most_that_fit(tenant, cap, first, spacing, count)
  if fits(tenant, cap, first, spacing, count) then return count end
  local low, high = 0, count -- `low` fit, `high` do not
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if fits(tenant, cap, first, spacing, middle) then low = middle else high = middle end
  end
  return low
end

local function book(tenant, first, spacing, count)
  local from, to = math.floor(first / tenant.width), math.floor((first + (count - 1) * spacing) / tenant.width) + 1
  local before = 0
  for bucket = from, to do
    local upto = slots_up_to(tenant, bucket, first, spacing, count)
    if upto > before then tenant.held[bucket] = (tenant.held[bucket] or 0) + upto - before end
    before = upto
  end
  for window = from - WINDOW + 1, to do
    local added = slots_up_to(tenant, window + WINDOW - 1, first, spacing, count)
      - slots_up_to(tenant, window - 1, first, spacing, count)
    if added > 0 then tenant.sums[window] = (tenant.sums[window] or 0) + added end
  end
end

local function store()
  for key, at in pairs(free_at) do
    redis.call('SET', key, string.format('%.0f', at), 'PX', math.ceil((at - now) / 1000) + 1000)
  end
  for key, tenant in pairs(tenants) do
    local held, last = {}, tenant.low - 1
    for bucket = tenant.low, tenant.high + 1 do
      held[#held + 1] = tenant.held[bucket] or 0
      if held[#held] > 0 then last = bucket end
    end
    if last >= tenant.low then
      local life = math.ceil(((last + WINDOW + 1) * tenant.width - now) / 1000) + 1000
      redis.call('SET', key, cmsgpack.pack({tenant.width, tenant.low, held}), 'PX', life)
    end
  end
end

local function answer(index)
  local at = 6 + (index - 1) * 4
  local count, spacing = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local cap, width = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local key, tenant = KEYS[2 * index - 1], nil
  local first = math.max(now + lead, load_endpoint(key, spacing))
  if cap > 0 then
    tenant = load_tenant(KEYS[2 * index], width)
    first = soonest(tenant, cap, first)
  end
  local granted, coming = 0, first
  if first <= latest then
    granted = math.min(count, math.floor((latest - first) / spacing) + 1)
    if tenant then granted = most_that_fit(tenant, cap, first, spacing, granted) end
  end
  if granted > 0 then
    coming = first + granted * spacing
    free_at[key] = coming
    if tenant then
      book(tenant, first, spacing, granted)
      coming = soonest(tenant, cap, coming)
    end
  end
  return {granted, math.floor(first - now), math.floor(math.max(coming - now, 0))}
end

local answers = {}
for index = 1, #KEYS / 2 do answers[index] = answer(index) end
if take then store() end
return answers
