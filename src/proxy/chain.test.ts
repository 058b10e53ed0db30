import { describe, expect, test } from 'vitest'
import { type AccessContext, RequestContext, type ResponseContext } from '../core/context.ts'
import { rejections } from '../core/errors.ts'
import type { AccessStep, LocalReply, Verdict } from '../core/plugin.ts'
import { type FaultReporter, guardAccess, guardLog, guardResponse, joinAccess, joinLog, joinResponse } from './chain.ts'

const reply: LocalReply = { status: 200, headers: [], body: 'ok' }

function recorder() {
  const faults: string[] = []
  const report: FaultReporter = (plugin, phase, kind, error) =>
    faults.push(`${plugin} ${phase} ${kind}${error instanceof Error ? `: ${error.message}` : ''}`)
  return { faults, report }
}

function traced(trace: string[], name: string, verdict?: Verdict): AccessStep {
  return () => {
    trace.push(name)
    return verdict
  }
}

function waiting(trace: string[], name: string, verdict?: Verdict): AccessStep {
  return async () => {
    trace.push(`${name}<`)
    await new Promise((resolve) => setImmediate(resolve))
    trace.push(`>${name}`)
    return verdict
  }
}

describe('joinAccess', () => {
  test('is null without steps, and the step itself when there is one', () => {
    const step = traced([], 'a')
    expect(joinAccess([])).toBeNull()
    expect(joinAccess([step])).toBe(step)
  })

  test('runs steps in order and stays synchronous', () => {
    const trace: string[] = []
    const access = joinAccess([traced(trace, 'a'), traced(trace, 'b'), traced(trace, 'c')])
    expect(access?.(new RequestContext())).toBeUndefined()
    expect(trace).toEqual(['a', 'b', 'c'])
  })

  test('stops at the first verdict', () => {
    const trace: string[] = []
    const access = joinAccess([traced(trace, 'a'), traced(trace, 'b', rejections.ip_forbidden), traced(trace, 'c')])
    expect(access?.(new RequestContext())).toBe(rejections.ip_forbidden)
    expect(trace).toEqual(['a', 'b'])
  })

  test('goes on where it stopped after every step that waits', async () => {
    const trace: string[] = []
    const access = joinAccess([
      traced(trace, 'a'),
      waiting(trace, 'b'),
      traced(trace, 'c'),
      waiting(trace, 'd', reply),
      traced(trace, 'e'),
    ])
    const pending = access?.(new RequestContext())
    expect(pending).toBeInstanceOf(Promise)
    expect(trace).toEqual(['a', 'b<'])
    expect(await pending).toBe(reply)
    expect(trace).toEqual(['a', 'b<', '>b', 'c', 'd<', '>d'])
  })

  test('runs no further step once the client is gone', async () => {
    const trace: string[] = []
    const ctx = new RequestContext()
    const access = joinAccess([waiting(trace, 'a'), traced(trace, 'b')])
    const pending = access?.(ctx)
    ctx.aborted = true
    expect(await pending).toBeUndefined()
    expect(trace).toEqual(['a<', '>a'])
  })
})

describe('guardAccess', () => {
  const ctx: AccessContext = new RequestContext()

  test('passes verdicts on', async () => {
    const { faults, report } = recorder()
    expect(guardAccess(() => undefined, 'p', report)(ctx)).toBeUndefined()
    expect(guardAccess(() => reply, 'p', report)(ctx)).toBe(reply)
    expect(guardAccess(() => rejections.ip_forbidden, 'p', report)(ctx)).toBe(rejections.ip_forbidden)
    expect(await guardAccess(() => Promise.resolve(undefined), 'p', report)(ctx)).toBeUndefined()
    expect(await guardAccess(() => Promise.resolve(reply), 'p', report)(ctx)).toBe(reply)
    expect(faults).toEqual([])
  })

  test('refuses the request when the step throws or rejects', async () => {
    const { faults, report } = recorder()
    const thrown = guardAccess(
      () => {
        throw new Error('sync')
      },
      'p',
      report,
    )(ctx)
    expect(thrown).toMatchObject({ code: 'plugin_failed', status: 500, detail: 'p' })
    const rejected = await guardAccess(() => Promise.reject(new Error('async')), 'p', report)(ctx)
    expect(rejected).toMatchObject({ code: 'plugin_failed', detail: 'p' })
    expect(faults).toEqual(['p access error: sync', 'p access error: async'])
  })

  test.each([null, true, 403, 'no', {}, { status: 200 }, { status: 99, headers: [], body: '' }])(
    'refuses the request when the step returns %j',
    async (value) => {
      const { faults, report } = recorder()
      const verdict = value as unknown as Verdict
      expect(guardAccess(() => verdict, 'p', report)(ctx)).toMatchObject({ code: 'plugin_failed' })
      expect(await guardAccess(() => Promise.resolve(verdict), 'p', report)(ctx)).toMatchObject({
        code: 'plugin_failed',
      })
      expect(faults).toEqual(['p access bad_verdict', 'p access bad_verdict'])
    },
  )

  test("waits for promises that are not this realm's", async () => {
    const { report } = recorder()
    // What a promise of another realm looks like from here.
    const foreign = Object.create({
      // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
      then: (resolve: (verdict: Verdict) => void) => resolve(reply),
    }) as Promise<Verdict>
    const pending = guardAccess(() => foreign, 'p', report)(ctx)
    expect(pending).toBeInstanceOf(Promise)
    expect(await pending).toBe(reply)
  })
})

describe('response steps', () => {
  const ctx: ResponseContext = new RequestContext()
  const broken = () => {
    throw new Error('broken')
  }

  test('run in order', () => {
    const trace: string[] = []
    const { report } = recorder()
    const steps = ['a', 'b', 'c'].map((name) => guardResponse(() => void trace.push(name), name, false, report))
    expect(joinResponse([])).toBeNull()
    expect(joinResponse(steps.slice(0, 1))).toBe(steps[0])
    expect(joinResponse(steps)?.(ctx)).toBeUndefined()
    expect(trace).toEqual(['a', 'b', 'c'])
  })

  test('a failure lets the answer go on, unless the plugin is of class security', () => {
    const trace: string[] = []
    const { faults, report } = recorder()
    const last = guardResponse(() => void trace.push('last'), 'last', false, report)
    expect(joinResponse([guardResponse(broken, 'p', false, report), last])?.(ctx)).toBeUndefined()
    expect(trace).toEqual(['last'])
    const closed = joinResponse([guardResponse(broken, 's', true, report), last])?.(ctx)
    expect(closed).toMatchObject({ code: 'plugin_failed', detail: 's' })
    expect(faults).toEqual(['p response error: broken', 's response error: broken'])
  })

  test('a promise is a fault, and its rejection ends nothing', async () => {
    const { faults, report } = recorder()
    const late: () => unknown = async () => {
      throw new Error('late')
    }
    expect(guardResponse(late, 'p', true, report)(ctx)).toMatchObject({ code: 'plugin_failed' })
    guardLog(late, 'q', report)(new RequestContext())
    await new Promise((resolve) => setImmediate(resolve)) // an unhandled rejection would fail the run here
    expect(faults[0]).toContain('p response error: the step returned a promise')
    expect(faults[1]).toContain('q log error: the step returned a promise')
  })
})

test('log steps all run, whatever one of them does', () => {
  const trace: string[] = []
  const { faults, report } = recorder()
  const steps = [
    guardLog(() => void trace.push('a'), 'a', report),
    guardLog(
      () => {
        throw new Error('broken')
      },
      'b',
      report,
    ),
    guardLog(() => void trace.push('c'), 'c', report),
  ]
  expect(joinLog([])).toBeNull()
  joinLog(steps)?.(new RequestContext())
  expect(trace).toEqual(['a', 'c'])
  expect(faults).toEqual(['b log error: broken'])
})
