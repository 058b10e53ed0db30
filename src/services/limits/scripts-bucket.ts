/**
 * The generic cell rate algorithm as a bucket that each request fills and that drains evenly, stored as its level, when that
 * was, and when the key expires. The level is counted in parts of a unit, as many as the window has milliseconds: `limit` of
 * them drain in a millisecond. So all is whole numbers and nothing drifts, and a changed limit drains what is there at its
 * own rate.
 */
export const bucket = `
local bucket = {
  load = function(limit, key)
    local level, at, expiry = 0, now, 0
    local value = redis.call('GET', key)
    if value then
      level, at, expiry = struct.unpack('<ddd', value)
      level, at = math.max(0, level - math.max(0, now - at) * limit.limit), math.max(now, at)
    end
    return { key = key, limit = limit, changed = false, level = level, at = at, expiry = expiry }
  end,
  left = function(limit, state) return limit.capacity - math.ceil(state.level / limit.window) end,
  wait = function(limit, state, cost)
    return math.ceil((state.level - (limit.capacity - cost) * limit.window) / limit.limit)
  end,
  take = function(limit, state, cost)
    state.level = state.level + cost * limit.window
    return state.level
  end,
  reset = function(limit, state) return now + math.ceil(state.level / limit.limit) end,
  save = function(limit, state)
    local empty = math.ceil(state.level / limit.limit)
    if state.expiry >= now + empty + spare then
      redis.call('SET', state.key, struct.pack('<ddd', state.level, state.at, state.expiry), 'KEEPTTL')
    else
      -- Twice as long as needed, so that it need not be said with each request.
      local time = 2 * (empty + spare)
      redis.call('SET', state.key, struct.pack('<ddd', state.level, state.at, now + time), 'PX', time)
    end
  end,
}
kinds.token_bucket, kinds.leaky_bucket = bucket, bucket
`
