/**
 * A list with an entry for each millisecond in which something was admitted: its time, and the units admitted until before
 * it and with it, since the list began. What lies in the window is the difference between its ends, so that neither length
 * nor costs matter.
 */
export const slidingLog = `
local function entryAt(state, index)
  return struct.unpack('<ddd', redis.call('LINDEX', state.key, index))
end

-- Index of the first entry from 'low' on that 'isSo'; the last one is known to be.
local function firstEntry(state, low, isSo)
  local step, high = 1, low
  while high < state.length - 1 and not isSo(entryAt(state, high)) do
    low, high, step = high + 1, math.min(high + step, state.length - 1), step * 2
  end
  while low < high do
    local middle = math.floor((low + high) / 2)
    if isSo(entryAt(state, middle)) then high = middle else low = middle + 1 end
  end
  return low
end

kinds.sliding_log = {
  load = function(limit, key)
    local state = { key = key, limit = limit, changed = false, time = 0, before = 0, total = 0, base = 0, fresh = false }
    state.length = redis.call('LLEN', key)
    if state.length == 0 then return state end
    state.time, state.before, state.total = entryAt(state, -1)
    if state.time + limit.window <= now then
      redis.call('DEL', key)
      state.length, state.base = 0, state.total
      return state
    end
    local time, base = entryAt(state, 0)
    if time + limit.window <= now then
      local alive = firstEntry(state, 1, function(time) return time + limit.window > now end)
      redis.call('LTRIM', key, alive, -1)
      state.length = state.length - alive
      time, base = entryAt(state, 0)
    end
    state.base = base
    return state
  end,
  left = function(limit, state) return limit.limit - (state.total - state.base) end,
  wait = function(limit, state, cost)
    local target = state.total + cost - limit.limit
    -- An entry that this script run has still to write is the last one.
    if state.length == 0 or state.fresh and state.before < target then return state.time + limit.window - now end
    local found = firstEntry(state, 0, function(time, before, total) return total >= target end)
    return entryAt(state, found) + limit.window - now
  end,
  take = function(limit, state, cost)
    if state.length == 0 and not state.fresh or state.time < now then
      state.fresh, state.time, state.before = true, now, state.total
    end
    state.total = state.total + cost
    return state.time
  end,
  reset = function(limit, state)
    if state.length == 0 and not state.fresh then return now end
    return math.max(now, state.time + limit.window)
  end,
  save = function(limit, state)
    local value = struct.pack('<ddd', state.time, state.before, state.total)
    if state.fresh then
      redis.call('RPUSH', state.key, value)
    elseif state.length > 0 then
      redis.call('LSET', state.key, -1, value)
    end
    redis.call('PEXPIRE', state.key, state.time + limit.window - now + spare)
  end,
}
`
