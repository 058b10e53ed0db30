/**
 * Counters of windows. A fixed window is stored as its start and its count, a sliding one as start, count, and the count of
 * the window before. Windows begin at multiples of their length since the epoch, those of a calendar where it says so: it
 * sends the edges of three, so that it need not know Redis's time to the second.
 *
 * A counter that began later than the window of now stays in force: the clock was put back, or windows became longer.
 */
export const windowEdges = `
local function openWindow(limit)
  if limit.edges then
    limit.start, limit.finish = limit.edges[1], limit.edges[2]
    for i = 2, #limit.edges - 1 do
      if now >= limit.edges[i] then limit.start, limit.finish = limit.edges[i], limit.edges[i + 1] end
    end
  else
    limit.start = now - now % limit.window
    limit.finish = limit.start + limit.window
  end
end
`

export const fixedWindow = `
kinds.fixed_window = {
  open = openWindow,
  load = function(limit, key)
    local start, count, isThere = limit.start, 0, false
    local value = redis.call('GET', key)
    if value then
      local storedStart, storedCount = struct.unpack('<dd', value)
      if storedStart >= start then start, count, isThere = storedStart, storedCount, true end
    end
    return { key = key, limit = limit, changed = false, start = start, count = count, isThere = isThere }
  end,
  left = function(limit, state) return limit.limit - state.count end,
  wait = function(limit) return limit.finish - now end,
  take = function(limit, state, cost)
    state.count = state.count + cost
    return state.start
  end,
  reset = function(limit) return limit.finish end,
  save = function(limit, state)
    local value = struct.pack('<dd', state.start, state.count)
    if state.isThere then
      redis.call('SET', state.key, value, 'KEEPTTL')
    else
      redis.call('SET', state.key, value, 'PX', limit.finish - now + spare)
    end
  end,
}
`

export const slidingWindow = `
kinds.sliding_window = {
  open = openWindow,
  load = function(limit, key)
    local start, count, before, isThere = limit.start, 0, 0, false
    local value = redis.call('GET', key)
    if value then
      local storedStart, storedCount, storedBefore = struct.unpack('<ddd', value)
      if storedStart >= start then
        start, count, before, isThere = storedStart, storedCount, storedBefore, true
      elseif storedStart == start - limit.window then
        before = storedCount
      end
    end
    return { key = key, limit = limit, changed = false, start = start, count = count, before = before, isThere = isThere }
  end,
  left = function(limit, state)
    return limit.limit - state.count - math.ceil(state.before * (limit.finish - now) / limit.window)
  end,
  wait = function(limit, state, cost)
    local room = limit.limit - cost
    -- Either the window before fades far enough within this one, or this one has to fade within the next.
    if state.count <= room then
      return limit.finish - math.floor((room - state.count) * limit.window / state.before) - now
    end
    return limit.finish + limit.window - math.floor(room * limit.window / state.count) - now
  end,
  take = function(limit, state, cost)
    state.count = state.count + cost
    return state.start
  end,
  reset = function(limit) return limit.finish end,
  save = function(limit, state)
    local value = struct.pack('<ddd', state.start, state.count, state.before)
    if state.isThere then
      redis.call('SET', state.key, value, 'KEEPTTL')
    else
      redis.call('SET', state.key, value, 'PX', limit.finish + limit.window - now + spare)
    end
  end,
}
`
