/** How the load test counts and judges. That the whole of it runs is shown in loadtest-run.test.ts. */
import { describe, expect, test } from 'vitest'
import { AnswerReader } from '../loadtest/load/answer.ts'
import { judgeAnswer } from '../loadtest/load/check.ts'
import { echoOf } from '../loadtest/load/echo.ts'
import type { Kind } from '../loadtest/load/job.ts'
import { interleave, Schedule } from '../loadtest/load/schedule.ts'
import { type Outcome, Tally } from '../loadtest/load/tally.ts'
import { growth, slopePerMinute } from '../loadtest/verdict/memory.ts'
import { judge, readObjectives } from '../loadtest/verdict/objective.ts'
import type { RunRecord } from '../loadtest/verdict/record.ts'
import { recoveries } from '../loadtest/verdict/recovery.ts'

const kind: Kind = {
  name: 'users',
  method: 'GET',
  path: '/api/users/{n}',
  callers: [{ name: 'user-1', headers: '' }],
  share: 1,
  phase: null,
  expects: [200],
  refusable: false,
  echoed: true,
  background: false,
  evenOnly: false,
}

function tallyOf(outcomes: Partial<Record<Outcome, number>>, milliseconds = 2): Tally {
  const tally = new Tally()
  for (const [outcome, count] of Object.entries(outcomes)) {
    for (let i = 0; i < count; i++) {
      tally.addDue(0)
      tally.add('users', outcome as Outcome, outcome, milliseconds)
    }
  }
  return tally
}

/** One phase of ten seconds at 100 requests a second. */
function recordOf(tally: Tally, more: Partial<RunRecord> = {}): RunRecord {
  const phase = { name: 'steady', seconds: 10, from: 100, to: 100, begin: 0, end: 10, direct: false, measured: true }
  return {
    phases: [{ ...phase, target: 'gateway', tally }],
    slices: [],
    samples: [],
    happened: [],
    reloads: [],
    writes: { count: 0, repeated: 0 },
    exitCode: 0,
    trialMost: null,
    capacity: null,
    ...more,
  }
}

describe('objectives', () => {
  const phases = { steady: ['steady'], spike: ['before', 'spike'] }
  const read = (text: string) => readObjectives(text, phases)
  const verdictsOf = (text: string, record: RunRecord, isSmoke = false) =>
    judge(read(text).get('steady') ?? [], record, { isSmoke, isOwn: true }).map(({ result }) => result)

  test('of every scenario hold unless the scenario has its own', () => {
    const objectives = read('every: { wrong_answers: 0, p99_ms: { at_most: 5 } }\nspike: { p99_ms: { at_most: 9 } }')
    expect(objectives.get('steady')?.map(({ name, atMost }) => [name, atMost])).toEqual([
      ['wrong_answers', 0],
      ['p99_ms', 5],
    ])
    expect(objectives.get('spike')?.map(({ name, atMost }) => [name, atMost])).toEqual([
      ['wrong_answers', 0],
      ['p99_ms', 9],
    ])
  })

  test.each([
    ['stedy: { wrong_answers: 0 }', 'stedy: there is no such scenario (did you mean "steady"?)'],
    ['steady: { p99ms: 0 }', 'steady.p99ms: there is no such measure (did you mean "p99_ms"?)'],
    ['spike: { spke/p99_ms: 0 }', 'spike.spke/p99_ms: the scenario has no phase "spke" (did you mean "spike"?)'],
    ['spike: { spike/exit_code: 0 }', "spike.spike/exit_code: is of a whole run: it can't be of one phase"],
    ['steady: { p99_ms: { at_mst: 3 } }', 'steady.p99_ms: Unrecognized key: "at_mst"'],
    ['steady: { p99_ms: {} }', 'steady.p99_ms: needs "at_least" or "at_most"'],
  ])('%s is refused', (text, fault) => {
    expect(() => read(text)).toThrow(fault)
  })

  test('are missed by a single wrong answer, and by what was not seen', () => {
    expect(verdictsOf('steady: { wrong_answers: 0 }', recordOf(tallyOf({ served: 999 })))).toEqual(['pass'])
    expect(verdictsOf('steady: { wrong_answers: 0 }', recordOf(tallyOf({ served: 999, wrong: 1 })))).toEqual(['fail'])
    expect(verdictsOf('steady: { recovery_s: { at_most: 2 } }', recordOf(tallyOf({ served: 9 })))).toEqual(['fail'])
  })

  test('about errors decide in a smoke, those about pace are told', () => {
    const slow = recordOf(tallyOf({ served: 90, broken: 10 }, 500))
    const text = 'steady: { failed_percent: { at_most: 1 }, p99_ms: { at_most: 5 } }'
    expect(verdictsOf(text, slow)).toEqual(['fail', 'fail'])
    expect(verdictsOf(text, slow, true)).toEqual(['fail', 'told'])
  })

  test('about pace get no verdict when others had the machine', () => {
    const sample = { resident: 0, openFiles: 0 }
    const samples = [
      { ...sample, at: 0, gatewayCpu: 0, ownCpu: 0, busy: 0, total: 0 },
      { ...sample, at: 10, gatewayCpu: 2, ownCpu: 2, busy: 16, total: 20 },
    ]
    const slow = recordOf(tallyOf({ served: 90, broken: 10 }, 500), { samples })
    const text = 'steady: { failed_percent: { at_most: 1 }, p99_ms: { at_most: 5 } }'
    expect(verdictsOf(text, slow)).toEqual(['fail', 'unfair'])
  })
})

describe('an answer', () => {
  const versions = { oldest: 3, newest: 4 }
  const answer = { status: 200, body: echoOf('7', 'user-1'), version: 3, closes: false }
  const sent = { number: 7, oldest: 3, caller: 'user-1' }

  test.each<[string, Outcome, object, object]>([
    ['of this request, for this caller', 'served', {}, {}],
    ['of another request', 'wrong', {}, { body: echoOf('8', 'user-1') }],
    ['for another caller', 'wrong', {}, { body: echoOf('7', 'user-2') }],
    ['of a configuration that was no longer in force', 'wrong', {}, { version: 2 }],
    ['of a configuration that is not in force yet', 'wrong', {}, { version: 5 }],
    ['with another status', 'failed', {}, { status: 502 }],
    ['that refuses what may not be refused', 'failed', {}, { status: 429 }],
    ['that refuses what may be refused', 'refused', { refusable: true }, { status: 429 }],
  ])('%s is %s', (_, outcome, ofKind, ofAnswer) => {
    expect(judgeAnswer({ ...kind, ...ofKind }, sent, { ...answer, ...ofAnswer }, versions)).toBe(outcome)
  })

  test.each([
    ['of known length', 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Config: 12\r\n\r\nhello'],
    [
      'in chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Config: 12\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n',
    ],
    [
      'after an early one',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-Config: 12\r\nContent-Length: 5\r\n\r\nhello',
    ],
  ])('%s is read byte by byte and at once', (_, text) => {
    const wanted = { status: 200, body: 'hello', version: 12, closes: false }
    expect(new AnswerReader().read(Buffer.from(text))).toEqual(wanted)
    const reader = new AnswerReader()
    const read = Array.from(Buffer.from(text), (byte) => reader.read(Buffer.of(byte)))
    expect(read.pop()).toEqual(wanted)
    expect(read.every((one) => one === null)).toBe(true)
  })
})

test('requests are due in an even stream, also while the rate rises', () => {
  const schedule = new Schedule([
    { seconds: 2, from: 100, to: 100 },
    { seconds: 2, from: 100, to: 300 },
  ])
  const due = Array.from({ length: schedule.total }, (_, i) => schedule.due(i))
  expect(due).toHaveLength(600)
  const within = (begin: number, end: number) => due.filter((at) => at >= begin && at < end).length
  // Half a request to and fro at each end.
  for (const [begin, end, count] of [
    [0, 1, 100],
    [1, 2, 100],
    [2, 3, 150],
    [3, 4, 250],
  ] as const) {
    expect(Math.abs(within(begin, end) - count)).toBeLessThanOrEqual(1)
  }
  expect(due.every((at, i) => i === 0 || at >= (due[i - 1] as number))).toBe(true)
  expect(interleave([3, 1]).toSorted((a, b) => a - b)).toEqual([0, 0, 0, 1])
})

test('recovery is measured from the end of what happened to the first of three good slices', () => {
  const good = tallyOf({ served: 10 })
  const bad = tallyOf({ served: 8, broken: 2 })
  const slow = tallyOf({ served: 10 }, 400)
  // Slices of 0.2 s; the mishap ends at 1 s.
  const slices = [good, good, good, good, bad, bad, bad, good, bad, slow, slow, good, good, good, good]
  const [one] = recoveries([{ name: 'mishap', begin: 0.8, end: 1 }], slices, 0)
  expect(one?.recovered).toBeCloseTo(0.8)
  expect(one?.calm).toBeCloseTo(1.2)
  const [never] = recoveries([{ name: 'mishap', begin: 0.8, end: 1 }], slices.slice(0, 9), 0)
  expect(never).toMatchObject({ recovered: null, calm: null })
})

test('memory that grows is told from memory that is collected now and then', () => {
  const samplesOf = (of: (at: number) => number) =>
    Array.from({ length: 600 }, (_, at) => ({
      at,
      resident: of(at) * 2 ** 20,
      openFiles: 0,
      gatewayCpu: 0,
      ownCpu: 0,
      busy: 0,
      total: 0,
    }))
  const resident = ({ resident: bytes }: { readonly resident: number }) => bytes / 2 ** 20
  const leaking = samplesOf((at) => 200 + at / 10)
  const sawing = samplesOf((at) => 200 + (at % 10))
  expect(slopePerMinute(leaking)).toBeCloseTo(6)
  expect(Math.abs(slopePerMinute(sawing) ?? 99)).toBeLessThan(0.5)
  expect(growth(leaking, 0, resident)).toBeGreaterThan(40)
  expect(Math.abs(growth(sawing, 0, resident) ?? 99)).toBeLessThan(1)
})
