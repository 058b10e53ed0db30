/** Gives back what a request took that another shard refused. The receipt is what `take` said, `at` when that was. */
export const giveBack = `
local backs = {}

backs.fixed_window = function(limit, state, receipt)
  if state.start == receipt then state.count = math.max(0, state.count - limit.cost) end
end

backs.sliding_window = function(limit, state, receipt)
  if state.start == receipt then
    state.count = math.max(0, state.count - limit.cost)
  elseif state.start == receipt + limit.window then
    state.before = math.max(0, state.before - limit.cost)
  end
end

-- What has drained since can't be given back: of what was in the bucket then, that may have been ours.
backs.token_bucket = function(limit, state, receipt, at)
  local there = receipt - math.max(0, now - at) * limit.limit
  state.level = math.max(0, state.level - math.max(0, math.min(there, limit.cost * limit.window)))
end

backs.leaky_bucket = backs.token_bucket

-- The entry is among the last: it was written a round trip ago.
backs.sliding_log = function(limit, state, receipt)
  if state.length == 0 then return end
  for index = -1, -state.length, -1 do
    local time, before, total = entryAt(state, index)
    if time < receipt then break end
    if time > receipt then before = before - limit.cost end
    redis.call('LSET', state.key, index, struct.pack('<ddd', time, before, total - limit.cost))
    if time == receipt then break end
  end
  local _, base = entryAt(state, 0)
  state.time, state.before, state.total = entryAt(state, -1)
  state.base = base
end

operations.back = function(key, json, receipt, at)
  local limit = cjson.decode(json)
  limit.kind = kinds[limit.algorithm]
  if limit.kind.open then limit.kind.open(limit) end
  local state = stateOf(limit, key)
  backs[limit.algorithm](limit, state, tonumber(receipt), tonumber(at))
  change(state)
end
`
