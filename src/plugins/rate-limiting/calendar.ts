export type CalendarUnit = 'day' | 'month' | 'year'

/** A window: milliseconds since the epoch, the end not included. */
export interface Span {
  readonly start: number
  readonly end: number
}

const hour = 3_600_000

/** Further from UTC than any clock on earth. */
const farthest = 16 * hour

/** Whether the system knows a time zone of that name (`Europe/Berlin`, `UTC`). */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/**
 * The days, months or years of a time zone: gives the one that holds a moment. They begin with the first moment of their
 * first day there, also where clocks skip midnight; a day in which clocks change has 23 or 25 hours.
 *
 * The last two windows are remembered (two, as clocks of several machines meet at the edge): `Intl` is asked once a window.
 */
export function calendarOf(unit: CalendarUnit, timeZone: string): (now: number) => Span {
  const zone = new Zone(timeZone)
  let latest: Span = { start: 0, end: 0 }
  let before: Span = latest
  return (now) => {
    if (now >= latest.start && now < latest.end) return latest
    if (now >= before.start && now < before.end) return before
    const span = spanOf(unit, zone, now)
    before = latest
    latest = span
    return span
  }
}

function spanOf(unit: CalendarUnit, zone: Zone, now: number): Span {
  const [year, month, day] = zone.dateAt(now)
  switch (unit) {
    case 'day':
      return { start: zone.beginOf(year, month, day), end: zone.beginOf(year, month, day + 1) }
    case 'month':
      return { start: zone.beginOf(year, month, 1), end: zone.beginOf(year, month + 1, 1) }
    case 'year':
      return { start: zone.beginOf(year, 0, 1), end: zone.beginOf(year + 1, 0, 1) }
  }
}

class Zone {
  readonly #format: Intl.DateTimeFormat

  constructor(timeZone: string) {
    this.#format = new Intl.DateTimeFormat('en', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
    })
  }

  /** Year, month (0 to 11) and day there. */
  dateAt(moment: number): [year: number, month: number, day: number] {
    let [year, month, day] = [0, 0, 0]
    for (const { type, value } of this.#format.formatToParts(moment)) {
      if (type === 'year') year = Number(value)
      else if (type === 'month') month = Number(value) - 1
      else if (type === 'day') day = Number(value)
    }
    return [year, month, day]
  }

  /** The first moment that has this date, or a later one where clocks skip the whole day. `day` may be one too many. */
  beginOf(year: number, month: number, day: number): number {
    const date = Date.UTC(year, month, day)
    let [low, high] = [date - farthest, date + farthest]
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2)
      if (Date.UTC(...this.dateAt(middle)) >= date) high = middle
      else low = middle
    }
    return high
  }
}
