import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Balancer } from './balancer.ts'

interface Target {
  name: string
  weight: number
}

function targetsOf(...weights: number[]): Target[] {
  return weights.map((weight, i) => ({ name: String.fromCharCode(97 + i), weight }))
}

function picks(balancer: Balancer<Target>, count: number): string {
  return Array.from({ length: count }, () => balancer.pick()?.name ?? '-').join('')
}

test('follows nginx: 5, 1, 1 spreads the heavy target', () => {
  expect(picks(new Balancer(targetsOf(5, 1, 1)), 14)).toBe('aabacaaaabacaa')
})

test('equal weights take turns, whatever their size', () => {
  expect(picks(new Balancer(targetsOf(100, 100, 100)), 6)).toBe('abcabc')
})

test('95 to 5: the light target comes once in twenty picks', () => {
  const balancer = new Balancer(targetsOf(95, 5))
  const text = picks(balancer, 200)
  expect(text.split('b')).toHaveLength(11)
  expect(text.match(/ba+(?=b)/g)).toEqual(Array.from({ length: 9 }, () => `b${'a'.repeat(19)}`))
})

test('a single target', () => {
  expect(picks(new Balancer(targetsOf(7)), 3)).toBe('aaa')
})

test('weight 0 is never picked; nothing but 0 picks nobody', () => {
  const balancer = new Balancer(targetsOf(0, 2, 1, 0))
  expect(picks(balancer, 6)).toBe('bcbbcb')
  expect(balancer.size).toBe(2)
  for (const empty of [new Balancer(targetsOf(0, 0)), new Balancer<Target>([])]) {
    expect(empty.pick()).toBeNull()
    expect(empty.pickOther([])).toBeNull()
    expect(empty.size).toBe(0)
  }
})

/** Prime weights whose sum is too long to be laid out. */
const long = [6101, 3001, 7]

describe.each([
  ['laid out', [3, 2, 1]],
  ['computed at each pick', long],
])('another target, %s', (_name, weights) => {
  test('is none of those tried', () => {
    const targets = targetsOf(...weights)
    const [a, b, c] = targets as [Target, Target, Target]
    const balancer = new Balancer(targets)
    for (let i = 0; i < 20; i++) {
      expect([b, c]).toContain(balancer.pickOther([a]))
      expect(balancer.pickOther([a, c])).toBe(b)
      expect(balancer.pickOther([a, b])).toBe(c)
      expect(balancer.pickOther([a, b, c])).toBeNull()
      balancer.pick()
    }
  })

  test('leaves the order of picks as it is', () => {
    const targets = targetsOf(...weights)
    const asked = new Balancer(targets)
    const plain = new Balancer(targets)
    for (let i = 0; i < 50; i++) {
      asked.pickOther([targets[i % 3] as Target])
      expect(asked.pick()).toBe(plain.pick())
    }
  })

  test('is never one of weight 0', () => {
    const targets = targetsOf(...weights, 0)
    expect(new Balancer(targets).pickOther(targets.slice(0, 3))).toBeNull()
  })
})

/** Where the first window of `sum(weights)` picks begins that does not hold each target exactly weight times; -1: nowhere. */
function firstUnevenWindow(targets: readonly Target[]): number {
  const sum = targets.reduce((total, { weight }) => total + weight, 0)
  const balancer = new Balancer(targets)
  const sequence = Array.from({ length: 2 * sum }, () => balancer.pick() as Target)
  const seen = new Map<Target, number>(targets.map((target) => [target, 0]))
  const uneven = new Set(targets.filter(({ weight }) => weight > 0))
  const count = (target: Target, change: number): void => {
    const now = (seen.get(target) as number) + change
    seen.set(target, now)
    if (now === target.weight) uneven.delete(target)
    else uneven.add(target)
  }
  for (let i = 0; i < sequence.length; i++) {
    count(sequence[i] as Target, 1)
    if (i >= sum) count(sequence[i - sum] as Target, -1)
    if (i >= sum - 1 && uneven.size > 0) return i - sum + 1
  }
  return -1
}

test('every window of as many picks as the weights add up to holds each target exactly weight times', () => {
  expect(firstUnevenWindow(targetsOf(...long))).toBe(-1)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 6 }), (weights) => {
      fc.pre(weights.some((weight) => weight > 0))
      expect(firstUnevenWindow(targetsOf(...weights))).toBe(-1)
    }),
  )
})

test('is smooth: no target is ever more than one pick ahead of its share', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 2, maxLength: 5 }), (list) => {
      const targets = targetsOf(...list)
      const sum = list.reduce((total, weight) => total + weight, 0)
      const balancer = new Balancer(targets)
      const seen = new Map<Target, number>(targets.map((target) => [target, 0]))
      for (let i = 1; i <= sum; i++) {
        const picked = balancer.pick() as Target
        seen.set(picked, (seen.get(picked) as number) + 1)
        for (const target of targets) {
          expect((seen.get(target) as number) - (i * target.weight) / sum).toBeLessThan(1 + 1e-9)
        }
      }
    }),
  )
})
