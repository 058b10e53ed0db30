import { expect, test } from 'vitest'
import { type Consumer, RequestContext } from '../core/context.ts'
import { reject } from '../core/errors.ts'
import type { AccessStep, Verdict } from '../core/plugin.ts'
import { type AuthenticationRule, joinAuthentication as join } from './authentication.ts'

const guest = person('guest')
const any = { match: 'any', anonymous: null } as const
const all = { match: 'all', anonymous: null } as const
const missing = (scheme: string) => reject('credentials_missing', { headers: ['www-authenticate', scheme] })
const bad = (detail: string) => reject('credentials_invalid', { detail })
const elsewhere = { status: 302, headers: ['location', '/login'], body: '' }

function person(id: string): Consumer {
  return {
    id,
    name: null,
    tier: null,
    tenant: null,
    groups: [],
    roles: [],
    scopes: [],
    credential: null,
    anonymous: false,
  }
}

/** A step that lets in under a name, or refuses. */
const lets =
  (id: string): AccessStep =>
  (ctx) =>
    void (ctx.consumer ??= person(id))
const says = (verdict: Verdict) => (): Verdict => verdict
const later =
  (step: AccessStep): AccessStep =>
  async (ctx) => {
    await Promise.resolve()
    return step(ctx)
  }

/** A group of plugins that hold nothing back. */
function joinAuthentication(steps: readonly AccessStep[], rule: AuthenticationRule): AccessStep {
  return join(
    steps.map((access) => ({ access, withhold: null })),
    rule,
  )
}

async function ask(steps: readonly AccessStep[], rule: AuthenticationRule) {
  const ctx = new RequestContext()
  const verdict = await joinAuthentication(steps, rule)(ctx)
  return { verdict, consumer: ctx.consumer?.id ?? null }
}

test.each([
  ['the first that accepts ends it', any, [lets('a'), lets('b'), says(bad('never asked'))], undefined, 'a'],
  ['the second accepts', any, [says(missing('A')), lets('b')], undefined, 'b'],
  ['the second accepts what the first refused', any, [says(bad('first')), lets('b')], undefined, 'b'],
  [
    'what was refused is told in the words of the first',
    any,
    [says(missing('A')), says(bad('x')), says(bad('y'))],
    { detail: 'x' },
    null,
  ],
  ['a redirect is a refusal, too', any, [says(elsewhere), says(missing('B'))], { status: 302 }, null],
  [
    'nobody has seen credentials',
    any,
    [says(missing('A')), says(missing('B'))],
    { code: 'credentials_missing', headers: ['www-authenticate', 'A', 'www-authenticate', 'B'] },
    null,
  ],
  ['an optional one lets through without a name', any, [says(undefined), says(missing('B'))], undefined, null],
  [
    'bad credentials are refused although one is optional',
    any,
    [says(undefined), says(bad('x'))],
    { detail: 'x' },
    null,
  ],
  ['each must accept', all, [lets('a'), lets('b')], undefined, 'a'],
  ['one refuses', all, [lets('a'), says(bad('x')), lets('c')], { detail: 'x' }, 'a'],
  [
    'one misses its credentials',
    all,
    [lets('a'), says(missing('B'))],
    { code: 'credentials_missing', headers: ['www-authenticate', 'B'] },
    'a',
  ],
  ['a guest', { match: 'all', anonymous: guest }, [says(missing('A')), says(missing('B'))], undefined, 'guest'],
  ['a guest of any', { match: 'any', anonymous: guest }, [says(missing('A'))], undefined, 'guest'],
  [
    'a guest has no bad credentials',
    { match: 'any', anonymous: guest },
    [says(missing('A')), says(bad('x'))],
    { detail: 'x' },
    null,
  ],
  [
    'a guest has not half of the credentials',
    { match: 'all', anonymous: guest },
    [lets('a'), says(missing('B'))],
    { code: 'credentials_missing' },
    'a',
  ],
] as [string, AuthenticationRule, AccessStep[], object | undefined, string | null][])(
  '%s',
  async (_name, rule, steps, verdict, consumer) => {
    for (const form of [steps, steps.map(later), steps.map((step, i) => (i === 0 ? later(step) : step))]) {
      const answer = await ask(form, rule)
      if (verdict === undefined) expect(answer.verdict).toBeUndefined()
      else expect(answer.verdict).toMatchObject(verdict)
      expect(answer.consumer).toBe(consumer)
    }
  },
)

test.each([
  ['any', ['first', 'third']],
  ['all', []],
] as const)('%s: what nobody has checked is held back: %j', async (match, held) => {
  for (const wrap of [(step: AccessStep) => step, later]) {
    const withheld: string[] = []
    const member = (name: string, access: AccessStep) => ({ access, withhold: () => void withheld.push(name) })
    const ctx = new RequestContext()
    const steps = [
      member('first', wrap(match === 'any' ? says(bad('first')) : lets('a'))),
      member('second', wrap(lets('b'))),
      member('third', wrap(lets('c'))),
      { access: lets('d'), withhold: null },
    ]
    expect(await join(steps, { match, anonymous: null })(ctx)).toBeUndefined()
    expect(withheld).toEqual(held)
  }
})

test('stays synchronous as long as no step waits', () => {
  const ctx = new RequestContext()
  expect(joinAuthentication([says(missing('A')), lets('b')], any)(ctx)).toBeUndefined()
  expect(ctx.consumer?.id).toBe('b')
})

test('asks nobody else once the client is gone', async () => {
  const ctx = new RequestContext()
  let asked = 0
  const step = joinAuthentication(
    [
      later(() => {
        ctx.aborted = true
        return missing('A')
      }),
      () => void asked++,
    ],
    any,
  )
  await step(ctx)
  expect(asked).toBe(0)
})
