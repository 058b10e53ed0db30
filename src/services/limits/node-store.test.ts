import { afterEach, describe, expect, test } from 'vitest'
import { LimitNode, limitOf, TestClock } from '../../../test/support/limit-node.ts'

const nodes: LimitNode[] = []
afterEach(() => {
  for (const node of nodes.splice(0)) node.close()
})
function nodeWith(options: ConstructorParameters<typeof LimitNode>[0] = {}): LimitNode {
  const node = new LimitNode(options)
  nodes.push(node)
  return node
}

test('smoke', async () => {
  const node = nodeWith()
  const [one, two] = [node.worker(), node.worker()]
  const limit = limitOf({ limit: 1000, window: 60_000 })
  let admitted = 0
  for (let i = 0; i < 300; i++) {
    const all = await Promise.all([one, two].flatMap((w) => Array.from({ length: 4 }, () => w.ask([limit], ['k']))))
    admitted += all.filter(({ admission }) => admission.admitted).length
  }
  console.log(admitted, node.sent, node.told, JSON.stringify(node.ledger.status()))
  expect(admitted).toBe(1000)
})
