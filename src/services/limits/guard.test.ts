import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { noInstruments } from '../../core/services/instruments.ts'
import { RedisFault, type RedisReply } from '../redis.ts'
import { type Flight, Guard } from './guard.ts'

const lost = new RedisFault('disconnected', 'test')
const refused = new RedisFault('refused', 'test')
const opened: Guard[] = []

afterEach(() => {
  for (const guard of opened.splice(0)) guard.close()
})

interface Setting {
  readonly guard: Guard
  readonly said: string[]
  readonly events: string[]
  /** Answers the oldest probe. */
  readonly probe: (reply: RedisReply | RedisFault) => void
  /** Sends something; gives what answers it. */
  readonly send: (name: string, zone?: number) => (reply: RedisReply | RedisFault) => void
}

function setting(timeout: number): Setting {
  const said: string[] = []
  const events: string[] = []
  const probes: ((reply: RedisReply | RedisFault) => void)[] = []
  const note = (message: string): void => void events.push(message)
  const guard = new Guard(
    timeout,
    { instruments: noInstruments, log: { info: note, warn: note, error: note } },
    () => new Promise((resolve) => probes.push(resolve)),
    () => events.push('recovered'),
  )
  opened.push(guard)
  return {
    guard,
    said,
    events,
    probe: (reply) => probes.shift()?.(reply),
    send: (name, zone = 0) => {
      const flight: Flight = {
        arrived: (reply) => {
          said.push(`${name} ${String(reply)}`)
          return reply !== 'nonsense'
        },
        failed: () => said.push(`${name} failed`),
        late: (reply) => said.push(`${name} late ${String(reply)}`),
        lost: () => said.push(`${name} lost`),
      }
      let answer: (reply: RedisReply | RedisFault) => void = () => {}
      guard.send(zone, flight, new Promise((resolve) => (answer = resolve)))
      return (reply) => answer(reply)
    },
  }
}

test('ends in time what gets no reply, in the order in which it was sent', async () => {
  const { send, said } = setting(60)
  const answers = [send('a'), send('b')]
  await sleep(30)
  answers.push(send('c'))
  answers[1]?.('ok')
  await expect.poll(() => said).toEqual(['b ok', 'a failed', 'c failed'])
  for (const answer of answers) answer('x')
  await expect.poll(() => said.slice(3)).toEqual(['a late x', 'c late x'])
})

test('says when there will never be a reply to what the store may have done', async () => {
  const { send, said } = setting(30)
  const hung = send('hung')
  send('cut off')(lost)
  send('refused')(refused)
  await expect.poll(() => said).toEqual(['cut off failed', 'cut off lost', 'refused failed', 'hung failed'])
  hung(lost)
  await expect.poll(() => said.at(-1)).toBe('hung lost')
})

describe('a zone that fails again and again', () => {
  const failing = async (): Promise<Setting> => {
    const made = setting(10_000)
    const { send } = made
    for (let i = 0; i < 4; i++) send(`${i}`, 3)(lost)
    await expect.poll(() => made.said.length).toBe(8)
    expect(made.guard.admits(3)).toBe(true)
    send('nonsense', 3)('nonsense')
    await expect.poll(() => made.guard.admits(3)).toBe(false)
    return made
  }

  test('is left alone, and only that one', async () => {
    const { guard, said, events } = await failing()
    expect(said.at(-1)).toBe('nonsense failed')
    expect(guard.admits(0)).toBe(true)
    expect(events).toEqual(['the store of limits fails and is left alone'])
  })

  test('is asked again once a probe has come back', async () => {
    const { guard, events, probe, send, said } = await failing()
    guard.retry()
    guard.retry()
    probe(lost)
    await sleep(1)
    expect(guard.admits(3)).toBe(false)
    // What was under way does not open it.
    send('late', 3)('ok')
    await expect.poll(() => said.at(-1)).toBe('late ok')
    expect(guard.admits(3)).toBe(false)
    guard.retry()
    probe('ok')
    await expect.poll(() => guard.admits(3)).toBe(true)
    expect(events.slice(1)).toEqual(['the store of limits works again', 'recovered'])
  })

  test('tries by itself', async () => {
    const { guard, probe } = await failing()
    await expect
      .poll(
        () => {
          probe('ok')
          return guard.admits(3)
        },
        { timeout: 5000 },
      )
      .toBe(true)
  })
})

test('failures that are not in a row leave it be', async () => {
  const { guard, send, said } = setting(10_000)
  for (let i = 0; i < 20; i++) send(`${i}`)(i % 4 === 0 ? 'ok' : refused)
  await expect.poll(() => said.length).toBe(20)
  expect(guard.admits(0)).toBe(true)
})

test('a probe that comes back too late proves nothing', async () => {
  const { guard, send, probe, said } = setting(20)
  for (let i = 0; i < 5; i++) send(`${i}`)(refused)
  await expect.poll(() => said.length).toBe(5)
  guard.retry()
  await sleep(60)
  probe('ok')
  await sleep(5)
  expect(guard.admits(0)).toBe(false)
})

test('what is under way fails when it is closed', () => {
  const { guard, send, said } = setting(10_000)
  send('a')
  guard.close()
  expect(said).toEqual(['a failed'])
})
