/**
 * Requests in flight: a sorted set of slots, each with the time at which it counts as free because its owner is silent.
 * Owners say again and again which slots they hold; that brings back also what a Redis without memory has lost.
 */
export const slotOperations = `
local function slotNames(slot, cost)
  if cost == 1 then return { slot } end
  local names = {}
  for unit = 1, cost do names[unit] = slot .. '.' .. unit end
  return names
end

operations.hold = function(key, slot, cost, window)
  for _, name in ipairs(slotNames(slot, tonumber(cost))) do redis.call('ZADD', key, now + window, name) end
  redis.call('PEXPIRE', key, window + spare)
end

operations.release = function(key, slot, cost)
  redis.call('ZREM', key, unpack(slotNames(slot, tonumber(cost))))
end
`

export const concurrency = `
kinds.concurrency = {
  load = function(limit, key)
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
    return { key = key, limit = limit, changed = false, held = redis.call('ZCARD', key) }
  end,
  left = function(limit, state) return limit.limit - state.held end,
  wait = function() return 1000 end,
  take = function(limit, state, cost, slot)
    operations.hold(state.key, ARGV[1] .. slot, cost, limit.window)
    state.held = state.held + cost
    return 0
  end,
  reset = function() return now end,
  save = function() end,
}
`
