import { performance } from 'node:perf_hooks'
import type { PluginLog } from '../../core/plugin.ts'
import type { Counter, Distribution, Instruments } from '../../core/services/instruments.ts'
import { RedisFault, type RedisReply } from '../redis.ts'

/** Something that was sent. Exactly one of the first two is called, and behind `failed` at most one of the others. */
export interface Flight {
  /** False: that was no good reply. */
  arrived(reply: RedisReply): boolean
  failed(): void
  /** The reply to what has failed for want of time. */
  late(reply: RedisReply): void
  /** There will be no reply: the store may have done it or not. */
  lost(): void
}

/** What is known of a zone that has failed. */
interface Breaker {
  /** In a row. */
  failures: number
  /** It is left alone. */
  isOpen: boolean
  isProbed: boolean
}

/** Failures in a row after which a zone is left alone, and for how many milliseconds. */
const maxFailures = 5
const cooldown = 1000

/** Upper bounds of the buckets of durations, in seconds. */
const bounds = [0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1]

/**
 * Stands between those who ask and a store that may hang: whatever is sent has ended, well or badly, when its time is up. A
 * zone of the store (a part of a cluster, or all of it) that fails again and again is left alone until a probe comes back.
 */
export class Guard {
  readonly #timeout: number
  readonly #log: PluginLog
  readonly #probe: (zone: number) => Promise<RedisReply | RedisFault>
  readonly #onRecovery: () => void
  readonly #durations: Distribution
  readonly #errors: Readonly<Record<RedisFault['kind'], Counter>>
  /** In the order in which they were sent, with when that was. */
  readonly #flights = new Map<Flight, { readonly zone: number; readonly sentAt: number }>()
  readonly #breakers = new Map<number, Breaker>()
  /** How many zones are left alone. */
  #open = 0
  #timer: NodeJS.Timeout | null = null
  #probes: NodeJS.Timeout | null = null

  /** `probe`: sends what touches a zone and changes nothing. */
  constructor(
    timeout: number,
    host: { readonly instruments: Instruments; readonly log: PluginLog },
    probe: (zone: number) => Promise<RedisReply | RedisFault>,
    onRecovery: () => void,
  ) {
    this.#timeout = timeout
    this.#log = host.log
    this.#probe = probe
    this.#onRecovery = onRecovery
    const { instruments } = host
    this.#durations = instruments.distribution(
      'sluice_limit_store_duration_seconds',
      'From sending the checks of a tick to their store to its reply.',
      bounds,
    )
    const errors = (kind: string): Counter =>
      instruments.counter('sluice_limit_store_errors_total', 'Calls to the store of limits that failed.', [
        'kind',
        kind,
      ])
    this.#errors = {
      disconnected: errors('disconnected'),
      timeout: errors('timeout'),
      overloaded: errors('overloaded'),
      refused: errors('refused'),
    }
    instruments.gauge(
      'sluice_limit_store_breakers_open',
      'Parts of the store of limits that are left alone because they fail.',
      [],
      'sum',
      () => this.#open,
    )
  }

  /** Whether a zone is asked at all. */
  admits(zone: number): boolean {
    return this.#open === 0 || this.#breakers.get(zone)?.isOpen !== true
  }

  /** Waits for a reply as long as it may take. */
  send(zone: number, flight: Flight, reply: Promise<RedisReply | RedisFault>): void {
    const sentAt = performance.now()
    this.#flights.set(flight, { zone, sentAt })
    if (this.#timer === null) this.#arm(this.#timeout)
    void reply.then((answer) => {
      const isLate = !this.#flights.delete(flight)
      if (isLate) {
        if (!(answer instanceof RedisFault)) flight.late(answer)
        else if (isDoubtful(answer)) flight.lost()
        return
      }
      if (answer instanceof RedisFault) {
        this.#fail(zone, flight, answer)
        if (isDoubtful(answer)) flight.lost()
        return
      }
      this.#durations.record((performance.now() - sentAt) / 1000)
      const breaker = this.#breakers.get(zone)
      if (!flight.arrived(answer))
        this.#fail(zone, flight, new RedisFault('refused', 'the reply is not one of the script'))
      else if (breaker !== undefined) breaker.failures = 0
    })
  }

  /** Tries the zones that are left alone now: there is news of the store. */
  retry(): void {
    for (const [zone, breaker] of this.#breakers) {
      if (breaker.isOpen && !breaker.isProbed) void this.#try(zone, breaker)
    }
  }

  /** Whatever is on its way fails. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#probes !== null) clearInterval(this.#probes)
    for (const flight of this.#flights.keys()) flight.failed()
    this.#flights.clear()
  }

  #arm(time: number): void {
    const look = (): void => {
      const now = performance.now()
      // When a busy process finds its time up, the reply may have come meanwhile: sockets are read before that is decided.
      setImmediate(() => this.#expire(now))
    }
    this.#timer = setTimeout(look, Math.max(1, Math.ceil(time))).unref()
  }

  /** `now`: before the sockets were read. */
  #expire(now: number): void {
    this.#timer = null
    for (const [flight, { zone, sentAt }] of this.#flights) {
      const rest = sentAt + this.#timeout - now
      if (rest > 0) return this.#arm(rest)
      this.#flights.delete(flight)
      this.#fail(zone, flight, timedOut)
    }
  }

  #fail(zone: number, flight: Flight, { kind, detail }: RedisFault): void {
    this.#errors[kind].add(1)
    const breaker = this.#breakers.get(zone) ?? { failures: 0, isOpen: false, isProbed: false }
    this.#breakers.set(zone, breaker)
    breaker.failures++
    if (breaker.failures >= maxFailures && !breaker.isOpen) {
      if (this.#open === 0) this.#log.error('the store of limits fails and is left alone', { kind, detail })
      breaker.isOpen = true
      this.#open++
      this.#probes ??= setInterval(() => this.retry(), cooldown).unref()
    }
    flight.failed()
  }

  async #try(zone: number, breaker: Breaker): Promise<void> {
    breaker.isProbed = true
    const sentAt = performance.now()
    const reply = await this.#probe(zone)
    breaker.isProbed = false
    if (reply instanceof RedisFault || performance.now() - sentAt > this.#timeout) return
    breaker.isOpen = false
    breaker.failures = 0
    this.#open--
    if (this.#open > 0) return
    if (this.#probes !== null) clearInterval(this.#probes)
    this.#probes = null
    this.#log.info('the store of limits works again')
    this.#onRecovery()
  }
}

/** Whether the store may have done what it gave no reply to. */
function isDoubtful({ kind }: RedisFault): boolean {
  return kind === 'disconnected' || kind === 'timeout'
}

const timedOut = new RedisFault('timeout', 'Redis did not answer in time')
