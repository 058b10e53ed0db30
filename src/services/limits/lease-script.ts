/**
 * What a node borrows from Redis. Redis keeps the counters, and beside them what each node has borrowed: that takes the place
 * of used units until it is given back, reported as used, or its time is over. What becomes then of a node that said nothing
 * any more is a choice: `strict` counts all it held as used; else it comes back, and if the node did use it without saying so
 * before it died, so many are admitted too many. Never more than it held.
 *
 * KEYS: one per limit and key (in a cluster one a call). ARGV: name of the node, then of each key what `Loan.message` says.
 * A reply per key, see `Loan.answered`.
 *
 * - Units used are told as their sum over the loan, so that a report that is repeated counts once.
 * - Whatever the node does not say it holds is not lent to it any more: grants whose reply was lost come back by themselves.
 * - What a node has used of a loan that is over is put right with its next message, for a minute.
 * - A message that was overtaken by a later one (over another connection) changes nothing.
 * - All times are those of Redis. Nodes are told how long a loan holds, and count that from before they asked.
 */
export const leaseScript = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local node = ARGV[1]
local at = 1
local function arg()
  at = at + 1
  return ARGV[at]
end
local function number() return tonumber(arg()) end
local grain = 1e-9

local function pieces(text)
  local list = {}
  for piece in string.gmatch(text, '%S+') do list[#list + 1] = tonumber(piece) end
  return list
end

-- Counters: the same as in counter.ts, where they are explained.

local function turnFixed(s, q, time)
  local start, finish = q.from, q.to
  if finish == 0 then
    start = time - time % q.window
    finish = start + q.window
  end
  if start < s.start and time >= s.start then return end
  if start ~= s.start and time >= s.finish then s.count = 0 end
  s.start, s.finish = start, finish
end

local function turnSliding(s, q, time)
  local start = time - time % q.window
  if start == s.start and s.span == q.window then return end
  local following = s.start + s.span
  if start >= following then
    local last = start < following + s.span and s.count or 0
    if s.span == q.window then
      s.before, s.count = last, 0
    else
      s.before, s.count = 0, last
    end
  end
  s.start, s.finish, s.span = start, start + q.window, q.window
end

local function turnLog(s, q, time)
  local times, units = s.times, s.units
  local first = 1
  while first <= #times and times[first] + q.window <= time do
    s.total = s.total - units[first]
    first = first + 1
  end
  if first == 1 then return end
  local kept, keptUnits = {}, {}
  for i = first, #times do
    kept[#kept + 1] = times[i]
    keptUnits[#keptUnits + 1] = units[i]
  end
  s.times, s.units = kept, keptUnits
  if #kept == 0 then s.total = 0 end
end

local function turnBucket(s, q, time)
  if s.span ~= q.window then
    s.count = s.count / s.span * q.window
    s.span = q.window
  end
  if time > s.start then
    s.count = math.max(0, s.count - (time - s.start) * q.limit)
    s.start = time
  end
end

local function turn(s, q, time)
  if q.kind == 'f' then turnFixed(s, q, math.floor(time))
  elseif q.kind == 's' then turnSliding(s, q, math.floor(time))
  elseif q.kind == 'l' then turnLog(s, q, time)
  elseif q.kind == 'b' then turnBucket(s, q, time)
  end
end

local function level(s, q)
  if q.kind == 's' then return s.before * (s.finish - math.floor(now)) / q.window + s.count end
  if q.kind == 'l' then return s.total end
  if q.kind == 'b' then return s.count / q.window end
  return s.count
end

local function note(s, q, units, time)
  -- What is told so late that it has expired counts no more.
  if time + q.window <= now then return end
  local times = s.times
  local i = #times
  while i > 0 and times[i] > time do i = i - 1 end
  s.total = s.total + units
  local dense = #times >= 1024 and i > 1 and time - times[i - 1] < q.window / 1024
  if i > 0 and (times[i] == time or dense) then
    times[i] = time
    s.units[i] = s.units[i] + units
  else
    table.insert(times, i + 1, time)
    table.insert(s.units, i + 1, units)
  end
end

local function use(s, q, units, time)
  if units <= 0 or q.kind == 'c' then return end
  if q.kind == 'l' then note(s, q, units, time)
  elseif q.kind == 'b' then s.count = s.count + units * q.window
  else s.count = s.count + units
  end
end

-- Milliseconds until units fit, -1: never.
local function wait(s, q, units, lent)
  local room = q.capacity - units
  if room < -grain then return -1 end
  if level(s, q) + lent <= room + grain then return 0 end
  local time = 1000
  if q.kind == 'f' then time = s.finish - math.floor(now)
  elseif q.kind == 's' then
    local left = s.finish - math.floor(now)
    local count = s.count + lent
    if count <= room + grain then time = left - (room - count) * q.window / s.before
    else time = left + q.window - room * q.window / count
    end
  elseif q.kind == 'l' then
    time = q.window
    local total = s.total + lent
    for i = 1, #s.times do
      total = total - s.units[i]
      if total <= room + grain then
        time = s.times[i] + q.window - now
        break
      end
    end
  elseif q.kind == 'b' then time = (s.count + (lent - room) * q.window) / q.limit
  end
  return math.max(1, math.ceil(time - 1e-6))
end

local function wholeAt(s, q, lent)
  if q.kind == 'f' or q.kind == 's' then return s.finish end
  if q.kind == 'b' then return now + (s.count + lent * q.window) / q.limit end
  if q.kind == 'l' then
    if lent > 0 then return now + q.window end
    if #s.times > 0 then return s.times[#s.times] + q.window end
  end
  return now
end

local function read(key, q)
  local s = { start = 0, finish = 0, count = 0, before = 0, span = q.window, times = {}, units = {}, total = 0 }
  local holders = {}
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name == 's' then
      local p = pieces(value)
      s.start, s.finish, s.count, s.before, s.span = p[1], p[2], p[3], p[4], p[5]
    elseif name == 'g' then
      local p = cmsgpack.unpack(value)
      s.times, s.units, s.total = p[1], p[2], p[3]
    elseif string.sub(name, 1, 2) == 'h:' then
      local p = pieces(value)
      holders[string.sub(name, 3)] = { out = p[1], ends = p[2], serial = p[3], seq = p[4], used = p[5] }
    elseif name == 'o:' .. node then
      local p = pieces(value)
      s.over = { out = p[1], count = p[2], start = p[3], serial = p[4], used = p[5], time = p[6] }
    elseif string.sub(name, 1, 2) == 'o:' and now - pieces(value)[6] > 60000 then
      redis.call('HDEL', key, name)
    end
  end
  return s, holders
end

local function setOver(key, name, over)
  local text = string.format(
    '%.17g %.17g %.17g %.17g %.17g %.17g', over.out, over.count, over.start, over.serial, over.used, over.time
  )
  redis.call('HSET', key, 'o:' .. name, text)
end

-- A loan is over. What is out of it was used, or, of a node that is silent, maybe not: that is remembered for a while.
local function writeOff(key, s, q, name, h, silent)
  if h.out <= 0 or q.kind == 'c' then return end
  local count = silent and not q.strict and 0 or h.out
  use(s, q, count, now)
  if count > 0 and q.kind ~= 's' then return end
  local over = { out = h.out, count = count, start = s.start, serial = h.serial, used = h.used, time = now }
  setOver(key, name, over)
  if name == node then s.over = over end
end

local function lapse(key, s, q, holders)
  for name, h in pairs(holders) do
    if h.ends <= now then
      local silent = true
      -- Where there are windows it counts in that in which it was lent.
      if q.kind == 'f' or q.kind == 's' then
        if h.ends - 1 >= s.start then turn(s, q, h.ends - 1) end
        silent = h.ends < s.finish
      else turn(s, q, now)
      end
      writeOff(key, s, q, name, h, silent)
      holders[name] = nil
      redis.call('HDEL', key, 'h:' .. name)
    end
  end
  turn(s, q, now)
end

-- The node says what it used in all of a loan that is over.
local function correct(key, s, q, r)
  local over = s.over
  if not over or over.serial ~= r.overSerial then return end
  local count = math.min(over.out, math.max(0, r.overUsed - over.used))
  local more = count - over.count
  if q.kind == 'f' or q.kind == 's' then
    if over.start == s.start then s.count = math.max(0, s.count + more)
    elseif over.start == s.start - s.span then s.before = math.max(0, s.before + more)
    end
  elseif more > 0 then use(s, q, more, now)
  else return
  end
  over.count = count
  setOver(key, node, over)
end

-- Gives the loan as it stands when the node has reported; nil: the report is an old one.
local function settle(key, s, q, holders, r)
  local h = holders[node]
  if h and h.serial ~= r.serial then
    if h.serial > r.serial then return nil end
    writeOff(key, s, q, node, h, true)
    h = nil
  end
  correct(key, s, q, r)
  if not h then
    -- A new loan; or Redis has lost its memory, and learns what is out.
    return { out = r.held, ends = 0, serial = r.serial, seq = r.seq, used = r.used }
  end
  if r.seq <= h.seq then return nil end
  local fresh = math.min(h.out, math.max(0, r.used - h.used))
  if q.kind == 'l' then
    local told = 0
    for i = 1, #r.uses, 2 do
      use(s, q, r.uses[i + 1], now - r.uses[i])
      told = told + r.uses[i + 1]
    end
    use(s, q, fresh - told, now)
  else use(s, q, fresh, now)
  end
  -- Slots are not used up: what the node says is so, also when it has been away for long.
  h.out = q.kind == 'c' and r.held or math.min(h.out - fresh, r.held)
  h.used, h.seq = r.used, r.seq
  return h
end

local replies = {}
for i, key in ipairs(KEYS) do
  local q = {
    kind = arg(), capacity = number(), limit = number(), window = number(), from = number(), to = number(),
  }
  local term = number()
  q.strict = number() == 1
  local r = { serial = number(), seq = number(), used = number(), held = number(), uses = {} }
  r.overSerial, r.overUsed = number(), number()
  local need, want, unit = number(), number(), number()
  for j = 1, 2 * number() do r.uses[j] = number() end

  local s, holders = read(key, q)
  lapse(key, s, q, holders)
  local h = settle(key, s, q, holders, r)
  if not h then
    replies[i] = { 0, 0, 0, 0, 0, 1, 0 }
  else
    holders[node] = h
    local lent, nodes = 0, 0
    for _, one in pairs(holders) do
      lent = lent + one.out
      nodes = nodes + 1
    end
    local free = q.capacity - level(s, q) - lent
    local granted = math.max(0, math.min(need, math.floor(free + grain)))
    local rest = math.max(0, free - granted)
    granted = granted + math.max(0, math.min(want, math.floor(rest / (nodes == 1 and 1 or (q.strict and 2 or 1) * nodes))))
    h.out = h.out + granted
    lent = lent + granted
    local ends = now + term
    if (q.kind == 'f' or q.kind == 's') and s.finish < ends then ends = s.finish end
    h.ends = math.max(h.ends, ends)

    redis.call('HSET', key, 'h:' .. node, string.format('%.17g %.17g %.17g %.17g %.17g', h.out, h.ends, h.serial, h.seq, h.used))
    if q.kind == 'l' then
      if #s.times > 0 then redis.call('HSET', key, 'g', cmsgpack.pack({ s.times, s.units, s.total }))
      else redis.call('HDEL', key, 'g')
      end
    elseif q.kind ~= 'c' then
      redis.call('HSET', key, 's', string.format('%.17g %.17g %.17g %.17g %.17g', s.start, s.finish, s.count, s.before, s.span))
    end
    local life = q.window
    if q.kind == 'f' then life = s.finish - now
    elseif q.kind == 's' then life = s.finish - now + q.window
    elseif q.kind == 'b' then life = wholeAt(s, q, lent) - now
    end
    redis.call('PEXPIRE', key, string.format('%.0f', math.max(0, life) + term + 1000))

    local whole = wholeAt(s, q, lent)
    local left = math.max(0, math.floor(q.capacity - level(s, q) - lent + grain))
    local later = granted < need and wait(s, q, unit, lent) or 0
    replies[i] = {
      granted, math.floor(h.ends - now), left, string.format('%.0f', math.ceil(whole)), later,
      lent > h.out and 1 or 0, math.ceil(whole - now),
    }
  end
end
return replies
`

/** Letters of the script for algorithms. */
export const kinds = {
  fixed_window: 'f',
  sliding_window: 's',
  sliding_log: 'l',
  token_bucket: 'b',
  leaky_bucket: 'b',
  concurrency: 'c',
} as const
