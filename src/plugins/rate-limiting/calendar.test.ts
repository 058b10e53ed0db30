import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type CalendarUnit, calendarOf, isTimeZone, type Span } from './calendar.ts'

function span(unit: CalendarUnit, zone: string, moment: string): [start: string, end: string] {
  const { start, end } = calendarOf(unit, zone)(Date.parse(moment))
  return [new Date(start).toISOString(), new Date(end).toISOString()]
}

const hours = ({ start, end }: Span): number => (end - start) / 3_600_000

describe('the window of a moment', () => {
  test.each([
    ['day', 'UTC', '2026-03-29T23:59:59.999Z', '2026-03-29T00:00:00.000Z', '2026-03-30T00:00:00.000Z'],
    // Clocks go forward and back in Berlin: 23 and 25 hours.
    ['day', 'Europe/Berlin', '2026-03-29T12:00:00Z', '2026-03-28T23:00:00.000Z', '2026-03-29T22:00:00.000Z'],
    ['day', 'Europe/Berlin', '2026-10-25T12:00:00Z', '2026-10-24T22:00:00.000Z', '2026-10-25T23:00:00.000Z'],
    ['day', 'Asia/Kathmandu', '2026-05-05T18:14:59Z', '2026-05-04T18:15:00.000Z', '2026-05-05T18:15:00.000Z'],
    ['day', 'Pacific/Kiritimati', '2026-05-05T10:00:00Z', '2026-05-05T10:00:00.000Z', '2026-05-06T10:00:00.000Z'],
    ['day', 'Pacific/Niue', '2026-05-05T10:59:59Z', '2026-05-04T11:00:00.000Z', '2026-05-05T11:00:00.000Z'],
    // Clocks skip midnight in Beirut: the day begins at one.
    ['day', 'Asia/Beirut', '2022-03-27T12:00:00Z', '2022-03-26T22:00:00.000Z', '2022-03-27T21:00:00.000Z'],
    // Samoa had no 30th of December in 2011.
    ['day', 'Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T10:00:00.000Z', '2011-12-30T10:00:00.000Z'],
    ['month', 'UTC', '2024-02-29T00:00:00Z', '2024-02-01T00:00:00.000Z', '2024-03-01T00:00:00.000Z'],
    ['month', 'Europe/Berlin', '2026-03-31T22:00:00Z', '2026-03-31T22:00:00.000Z', '2026-04-30T22:00:00.000Z'],
    ['month', 'Europe/Berlin', '2026-03-31T21:59:59.999Z', '2026-02-28T23:00:00.000Z', '2026-03-31T22:00:00.000Z'],
    ['month', 'America/New_York', '2026-12-31T12:00:00Z', '2026-12-01T05:00:00.000Z', '2027-01-01T05:00:00.000Z'],
    ['year', 'Asia/Tokyo', '2026-12-31T15:00:00Z', '2026-12-31T15:00:00.000Z', '2027-12-31T15:00:00.000Z'],
  ] as const)('%s in %s at %s', (unit, zone, moment, start, end) => {
    expect(span(unit, zone, moment)).toEqual([start, end])
  })

  test('is the same for all its moments, and the next one follows', () => {
    const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/St_Johns', 'Australia/Lord_Howe', 'Africa/Cairo')
    const moments = fc.integer({ min: Date.UTC(2012, 0), max: Date.UTC(2037, 0) })
    fc.assert(
      fc.property(zones, fc.constantFrom('day', 'month', 'year'), moments, (zone, unit, now) => {
        const calendar = calendarOf(unit, zone)
        const one = calendar(now)
        expect(one.start).toBeLessThanOrEqual(now)
        expect(one.end).toBeGreaterThan(now)
        const fresh = (at: number): Span => calendarOf(unit, zone)(at)
        expect(fresh(one.start)).toEqual(one)
        expect(fresh(one.end - 1)).toEqual(one)
        expect(fresh(one.end).start).toBe(one.end)
        expect(fresh(one.start - 1).end).toBe(one.start)
        if (unit === 'day') expect(Math.abs(hours(one) - 24)).toBeLessThanOrEqual(1)
      }),
      { numRuns: 40 },
    )
  })

  test('is remembered, also when clocks differ at its edge', () => {
    const calendar = calendarOf('day', 'Europe/Berlin')
    const edge = Date.parse('2026-06-30T22:00:00Z')
    const [before, after] = [calendar(edge - 1), calendar(edge)]
    for (let i = 0; i < 5; i++) {
      expect(calendar(edge - 1)).toBe(before)
      expect(calendar(edge)).toBe(after)
    }
    expect(after.start).toBe(edge)
  })
})

test('tells time zones from what is none', () => {
  expect(['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires'].every(isTimeZone)).toBe(true)
  expect(['Mars/Base', 'Europe', ''].some(isTimeZone)).toBe(false)
})
