import type { LimitAlgorithm } from '../../core/services/limits.ts'
import { giveBack } from './scripts-back.ts'
import { bucket } from './scripts-bucket.ts'
import { slidingLog } from './scripts-log.ts'
import { concurrency, slotOperations } from './scripts-slots.ts'
import { fixedWindow, slidingWindow, windowEdges } from './scripts-windows.ts'

/** One bit for each thing that a script can do: Redis makes its functions anew for each call, so it gets no others. */
export const skills: Readonly<Record<LimitAlgorithm | 'back' | 'slots', number>> = {
  fixed_window: 1,
  sliding_window: 2,
  sliding_log: 4,
  token_bucket: 8,
  leaky_bucket: 8,
  concurrency: 16 | 32,
  slots: 32,
  back: 64,
}

/** What stands where and in which order, by the bits that call for it. */
const parts: readonly (readonly [bits: number, lua: string])[] = [
  [skills.fixed_window | skills.sliding_window, windowEdges],
  [skills.fixed_window, fixedWindow],
  [skills.sliding_window, slidingWindow],
  [skills.sliding_log, slidingLog],
  [skills.token_bucket, bucket],
  [skills.slots, slotOperations],
  [skills.concurrency & ~skills.slots, concurrency],
  [skills.back, giveBack],
]

/**
 * The script decides all that a worker asks in one tick of its event loop; the time is Redis's own. A counter is read once
 * and written once however many requests meet it.
 *
 * ARGV: a name for the slots of this run, then operations, each with the keys that are its own in KEYS:
 * - `check`, limits (JSON), number of requests, `1` for receipts. One key per limit and request, by request.
 * - `back`, a limit (JSON), receipt, the time of it: what a request took that another shard refused. One key.
 * - `release`, slot, cost: a request has ended. One key.
 * - `hold`, slot, cost, window: a request goes on. One key.
 *
 * Reply: the time, then per checked request 0 (admitted, nothing to say) or 1, index of the limit that refused or -1, time to
 * wait (-1: for ever), delay, bits of those that would have refused; then per limit what is left, when it is whole again,
 * and a receipt if asked for. All are whole numbers, times in milliseconds. They come as doubles (little-endian) in one
 * string: a client reads that in a fraction of the time that as many numbers of a reply take.
 */
export function limitScript(bits: number): string {
  const chosen = parts.filter(([needed]) => (bits & needed) !== 0).map(([, lua]) => lua)
  return `${opening}${chosen.join('')}${checks}`
}

const opening = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Counters outlive their use by so much: a clock may be put back.
local spare = 1000
-- Per algorithm: load a counter, units left, time until a cost fits, take (gives a receipt), time when whole, save.
local kinds, operations, states, changed = {}, {}, {}, {}

local function stateOf(limit, key)
  local state = states[key]
  if not state then
    -- Made with all its fields, so that it need not grow.
    state = limit.kind.load(limit, key)
    states[key] = state
  end
  return state
end

local function change(state)
  if state.changed then return end
  state.changed = true
  changed[#changed + 1] = state
end
`

const checks = `
local reply, size, slot = { now }, 1, 0
local found, fits, receipts = {}, {}, {}

local function check(limits, first, withReceipts)
  local refusedBy, longest, delay, bits = -1, 0, 0, 0
  slot = slot + 1
  for i = 1, #limits do
    local limit = limits[i]
    local kind, cost = limit.kind, limit.cost
    local state = stateOf(limit, KEYS[first + i])
    found[i], fits[i], receipts[i] = state, kind.left(limit, state) >= cost, 0
    if not fits[i] then
      if limit.observe then
        bits = bits + 2 ^ (i - 1)
      else
        local wait = math.huge
        if cost <= limit.capacity then wait = math.max(1, kind.wait(limit, state, cost)) end
        if wait > longest then refusedBy, longest = i - 1, wait end
      end
    end
  end
  if refusedBy == -1 then
    for i = 1, #limits do
      local limit, state = limits[i], found[i]
      if fits[i] then
        if limit.queues then delay = math.max(delay, limit.kind.reset(limit, state) - now) end
        if limit.cost > 0 then
          receipts[i] = limit.kind.take(limit, state, limit.cost, slot)
          change(state)
        end
      end
    end
  end
  if refusedBy == -1 and delay == 0 and bits == 0 then
    reply[size + 1] = 0
    size = size + 1
  else
    reply[size + 1], reply[size + 2], reply[size + 3] = 1, refusedBy, longest == math.huge and -1 or longest
    reply[size + 4], reply[size + 5] = delay, bits
    size = size + 5
  end
  for i = 1, #limits do
    local limit, state = limits[i], found[i]
    reply[size + 1], reply[size + 2] = math.max(0, limit.kind.left(limit, state)), limit.kind.reset(limit, state)
    size = size + 2
    if withReceipts then
      size = size + 1
      reply[size] = receipts[i]
    end
  end
end

local key, argument = 1, 2
while argument <= #ARGV do
  local operation = ARGV[argument]
  if operation == 'check' then
    local limits = cjson.decode(ARGV[argument + 1])
    for _, limit in ipairs(limits) do
      limit.kind = kinds[limit.algorithm]
      if limit.kind.open then limit.kind.open(limit) end
    end
    for _ = 1, ARGV[argument + 2] do
      check(limits, key - 1, ARGV[argument + 3] == '1')
      key = key + #limits
    end
    argument = argument + 4
  else
    local count = operation == 'release' and 2 or 3
    operations[operation](KEYS[key], unpack(ARGV, argument + 1, argument + count))
    key, argument = key + 1, argument + 1 + count
  end
end
for _, state in ipairs(changed) do state.limit.kind.save(state.limit, state) end
-- In pieces: what a function gives back must fit on the stack.
local pieces = {}
for first = 1, size, 64 do
  local last = math.min(first + 63, size)
  pieces[#pieces + 1] = struct.pack('<' .. string.rep('d', last - first + 1), unpack(reply, first, last))
end
return table.concat(pieces)
`
