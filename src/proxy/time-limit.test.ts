import { expect, test } from 'vitest'
import { RequestContext } from '../core/context.ts'
import { rejections } from '../core/errors.ts'
import type { AccessStep, Verdict } from '../core/plugin.ts'
import { limitTime, TimeLimits, watchTime } from './time-limit.ts'

function limited(step: AccessStep, limit: number, onTimeout: Verdict) {
  const faults: string[] = []
  const access = limitTime(step, {
    plugin: 'p',
    limit,
    onTimeout,
    limits: new TimeLimits(),
    report: (plugin, phase, kind) => faults.push(`${plugin} ${phase} ${kind}`),
  })
  return { access, faults }
}

function holdUp(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

test('a step that is in time decides itself', async () => {
  const { access, faults } = limited(async () => rejections.ip_forbidden, 10_000, rejections.plugin_timeout)
  expect(await access(new RequestContext())).toBe(rejections.ip_forbidden)
  const sync = limited(() => undefined, 10_000, rejections.plugin_timeout)
  expect(sync.access(new RequestContext())).toBeUndefined()
  expect([...faults, ...sync.faults]).toEqual([])
})

test.each([rejections.plugin_timeout, undefined])(
  'a step that never settles is given up with %j',
  async (onTimeout) => {
    const { access, faults } = limited(() => new Promise(() => {}), 30, onTimeout)
    const both = await Promise.all([access(new RequestContext()), access(new RequestContext())])
    expect(both).toEqual([onTimeout, onTimeout])
    expect(faults).toEqual(['p access timeout', 'p access timeout'])
  },
)

test('what a step decides too late is dropped', async () => {
  let settle: (verdict: Verdict) => void = () => {}
  const late = new Promise<Verdict>((resolve) => {
    settle = resolve
  })
  const { access } = limited(() => late, 30, rejections.plugin_timeout)
  const pending = access(new RequestContext())
  expect(await pending).toBe(rejections.plugin_timeout)
  settle(rejections.ip_forbidden)
  await late
  expect(await pending).toBe(rejections.plugin_timeout)
})

test('only the request that waits too long is given up', async () => {
  let calls = 0
  const { access, faults } = limited(
    () => (++calls === 1 ? new Promise<Verdict>(() => {}) : Promise.resolve(rejections.ip_forbidden)),
    40,
    rejections.plugin_timeout,
  )
  const stuck = access(new RequestContext())
  expect(await access(new RequestContext())).toBe(rejections.ip_forbidden)
  expect(await stuck).toBe(rejections.plugin_timeout)
  expect(faults).toEqual(['p access timeout'])
})

test('limits of different length share one timer', async () => {
  const limits = new TimeLimits()
  const order: string[] = []
  const wait = (plugin: string, limit: number) =>
    limitTime(() => new Promise(() => {}), {
      plugin,
      limit,
      onTimeout: undefined,
      limits,
      report: () => order.push(plugin),
    })(new RequestContext())
  await Promise.all([wait('long', 300), wait('short', 20)])
  expect(order).toEqual(['short', 'long'])
  await wait('again', 20)
  expect(order).toEqual(['short', 'long', 'again'])
})

test('a synchronous step that takes too long keeps its verdict and is reported', () => {
  const { access, faults } = limited(
    () => {
      holdUp(5)
      return rejections.ip_forbidden
    },
    1,
    rejections.plugin_timeout,
  )
  expect(access(new RequestContext())).toBe(rejections.ip_forbidden)
  expect(faults).toEqual(['p access slow'])
})

test('watchTime reports response and log steps that take too long', () => {
  const faults: string[] = []
  const report = (plugin: string, phase: string, kind: string) => void faults.push(`${plugin} ${phase} ${kind}`)
  watchTime(() => holdUp(5), 'p', 'response', 1, report)(null)
  watchTime(() => {}, 'p', 'log', 10_000, report)(null)
  expect(faults).toEqual(['p response slow'])
})
