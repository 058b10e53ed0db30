import { randomUUID } from 'node:crypto'
import { nextRequestId } from '../../src/proxy/request-id.ts'

export const suite = {
  name: 'request-id',
  cases: {
    'counted UUID': () => void nextRequestId(),
    'random UUID (node:crypto)': () => void randomUUID(),
  },
}
