import { describe, expect, test } from 'vitest'
import { InstrumentSet } from './instruments.ts'

describe('an instrument set', () => {
  test('gives the same name and labels the same instrument', () => {
    const set = new InstrumentSet()
    const counter = set.counter('sluice_a_total', 'A.', ['kind', 'x'])
    expect(set.counter('sluice_a_total', 'A.', ['kind', 'x'])).toBe(counter)
    expect(set.counter('sluice_a_total', 'A.', ['kind', 'y'])).not.toBe(counter)
    const sizes = set.distribution('sluice_b', 'B.', [1, 2])
    expect(set.distribution('sluice_b', 'B.', [1, 2])).toBe(sizes)
    expect(set.ranking('r', ['a', 'b'])).toBe(set.ranking('r', ['a', 'b']))
  })

  test('reads a gauge when it reports, by the last that was given', () => {
    const set = new InstrumentSet()
    let value = 1
    set.gauge('sluice_g', 'G.', [], 'sum', () => -5)
    set.gauge('sluice_g', 'G.', [], 'sum', () => value)
    value = 7
    expect(set.report()).toEqual([
      { type: 'gauge', name: 'sluice_g', help: 'G.', over: 'sum', series: [{ labels: [], value: 7 }] },
    ])
  })

  test('puts a value that is a bound into the bucket below it', () => {
    const set = new InstrumentSet()
    const sizes = set.distribution('sluice_batch_size', 'Batches.', [1, 2, 4])
    for (const size of [0, 1, 2, 3, 4, 5, 100]) sizes.record(size)
    expect(set.report()).toMatchObject([{ bounds: [1, 2, 4], series: [{ counts: [2, 1, 2, 2], sum: 115 }] }])
  })

  test('keeps a thousand series of a name apart, the rest shares one', () => {
    const set = new InstrumentSet()
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 1200; i++) {
        set.counter('sluice_a_total', 'A.', ['key', String(i)]).add(1)
        set.distribution('sluice_b', 'B.', [1], ['key', String(i)]).record(2)
        set.gauge('sluice_c', 'C.', ['key', String(i)], 'sum', () => 1)
      }
    }
    const [counter, gauge, distribution] = set.report()
    expect(counter?.series).toHaveLength(1001)
    expect(counter?.series.at(-1)).toEqual({ labels: ['key', '_other'], value: 400 })
    expect(distribution?.series.at(-1)).toEqual({ labels: ['key', '_other'], counts: [0, 400], sum: 800 })
    expect(gauge?.series).toHaveLength(1000)
  })

  test('takes no name twice for different things, and none that Prometheus could not read', () => {
    const set = new InstrumentSet()
    set.counter('sluice_a_total', 'A.')
    expect(() => set.gauge('sluice_a_total', 'A.', [], 'sum', () => 1)).toThrow('of another kind')
    expect(() => set.distribution('sluice_a_total', 'A.', [1])).toThrow('of another kind')
    expect(() => set.counter('sluice a', 'A.')).toThrow(`can't be the name`)
  })
})
