import { expect, it } from 'vitest'
import { isSaneRequestId } from './fields.ts'
import { nextRequestId } from './request-id.ts'

it('makes UUIDs that differ, over the edge of a block too', () => {
  const seen = new Set<string>()
  for (let i = 0; i < 10_000; i++) {
    const id = nextRequestId()
    if (!/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-b[0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) throw new Error(id)
    seen.add(id)
  }
  expect(seen.size).toBe(10_000)
  expect(isSaneRequestId(nextRequestId())).toBe(true)
})
