import { describe, expect, test } from 'vitest'
import { createResolver, type Lookup, type Resolver } from './resolver.ts'

/** A look-up that answers when the test says so. */
class Answers {
  readonly asked: string[] = []
  private waiting: { resolve: (found: readonly string[]) => void; reject: (error: Error) => void }[] = []

  readonly lookup: Lookup = (host) => {
    this.asked.push(host)
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }))
  }

  async give(...addresses: string[]): Promise<void> {
    this.waiting.shift()?.resolve(addresses)
    await turn()
  }

  async fail(code: string): Promise<void> {
    this.waiting.shift()?.reject(Object.assign(new Error('look-up failed'), { code }))
    await turn()
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function resolved(resolver: Resolver, host: string, answers: Answers, ...addresses: string[]): Promise<void> {
  const found = resolver.resolve(host)
  expect(found).toBeInstanceOf(Promise)
  await answers.give(...addresses)
  expect(await found).toEqual(addresses)
}

describe('resolve', () => {
  test('finds the real localhost', async () => {
    const resolver = createResolver({ refresh: 60_000 })
    const found = await resolver.resolve('localhost')
    expect(found.length).toBeGreaterThan(0)
    for (const address of found) expect(['127.0.0.1', '::1']).toContain(address)
    expect(resolver.resolve('localhost')).not.toBeInstanceOf(Promise)
  })

  test('rejects with the error of the system', async () => {
    const resolver = createResolver({ refresh: 60_000 })
    await expect(resolver.resolve('no-such-host.invalid')).rejects.toMatchObject({
      code: expect.stringMatching(/^E/) as string,
    })
  })

  test('takes IP literals for their own address and never looks them up', () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 0, lookup: answers.lookup })
    for (const [host, address] of [
      ['127.0.0.1', '127.0.0.1'],
      ['::1', '::1'],
      ['[::1]', '::1'],
    ] as const) {
      expect(resolver.resolve(host)).toEqual([address])
      expect(resolver.resolve(host)).toEqual([address])
    }
    expect(answers.asked).toEqual([])
  })

  test('begins with the next address every time', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 60_000, lookup: answers.lookup })
    await resolved(resolver, 'a', answers, '10.0.0.1', '10.0.0.2', '10.0.0.3')
    expect(resolver.resolve('a')).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.1'])
    expect(resolver.resolve('a')).toEqual(['10.0.0.3', '10.0.0.1', '10.0.0.2'])
    expect(resolver.resolve('a')).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  })

  test('asks once for all who wait', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 60_000, lookup: answers.lookup })
    const waiting = ['a', 'a', 'b'].map((host) => Promise.resolve(resolver.resolve(host)))
    expect(answers.asked).toEqual(['a', 'b'])
    await answers.give('10.0.0.1')
    await answers.give('10.0.0.2')
    expect(await Promise.all(waiting)).toEqual([['10.0.0.1'], ['10.0.0.1'], ['10.0.0.2']])
  })

  test('looks again in the background, and nobody waits', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 20, lookup: answers.lookup })
    await resolved(resolver, 'a', answers, '10.0.0.1')
    await until(() => !(resolver.resolve('a') instanceof Promise) && answers.asked.length === 2)
    expect(resolver.resolve('a')).toEqual(['10.0.0.1'])
    expect(answers.asked.length).toBe(2)
    await answers.give('10.0.0.9')
    expect(resolver.resolve('a')).toEqual(['10.0.0.9'])
  })

  test('keeps the last good addresses while look-ups fail', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 1, lookup: answers.lookup })
    await resolved(resolver, 'a', answers, '10.0.0.1')
    await until(() => {
      void resolver.resolve('a')
      return answers.asked.length === 2
    })
    await answers.fail('ENOTFOUND')
    // Old by far now, but there is nothing better, and the failure is not asked for again at once.
    await until(() => true, 20)
    expect(resolver.resolve('a')).toEqual(['10.0.0.1'])
    expect(answers.asked.length).toBe(2)
  })

  test('waits for new addresses when nobody has asked in a long time', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 1, lookup: answers.lookup })
    await resolved(resolver, 'a', answers, '10.0.0.1')
    await until(() => true, 20)
    const found = resolver.resolve('a')
    expect(found).toBeInstanceOf(Promise)
    await answers.give('10.0.0.2')
    expect(await found).toEqual(['10.0.0.2'])

    await until(() => true, 20)
    const last = resolver.resolve('a')
    await answers.fail('EAI_AGAIN')
    expect(await last).toEqual(['10.0.0.2'])
  })

  test('remembers a failure briefly', async () => {
    const answers = new Answers()
    const resolver = createResolver({ refresh: 1, lookup: answers.lookup })
    const first = expect(resolver.resolve('a')).rejects.toMatchObject({ code: 'ENOTFOUND' })
    await answers.fail('ENOTFOUND')
    await first
    await expect(resolver.resolve('a')).rejects.toMatchObject({ code: 'ENOTFOUND' })
    expect(answers.asked.length).toBe(1)
    await until(() => {
      void Promise.resolve(resolver.resolve('a')).catch(() => {})
      return answers.asked.length === 2
    })
    const later = Promise.resolve(resolver.resolve('a'))
    await answers.give('10.0.0.1')
    expect(await later).toEqual(['10.0.0.1'])

    // Once there are addresses, no failure takes them away.
    await until(() => {
      void Promise.resolve(resolver.resolve('a')).catch(() => {})
      return answers.asked.length === 3
    })
    await answers.fail('ENOTFOUND')
    expect(resolver.resolve('a')).toEqual(['10.0.0.1'])
  })

  test('takes an empty answer for a failure', async () => {
    const resolver = createResolver({ refresh: 60_000, lookup: () => Promise.resolve([]) })
    await expect(resolver.resolve('a')).rejects.toMatchObject({ code: 'ENODATA' })
  })
})

/** Turns the event loop until `test` holds, at least for `least` milliseconds. */
async function until(test: () => boolean, least = 0): Promise<void> {
  const start = performance.now()
  while (performance.now() - start < least || !test()) await turn()
}
