import { jwtText, runJwt } from '../jwt.ts'
import type { Workload } from './workload.ts'

export const jwt: Workload = {
  name: 'jwt',
  title: 'Ways to check a signature',
  about:
    'What a token costs by algorithm and by who checks it: in place, a libuv thread each, jose, or the pool of threads.',
  minutes: 2,
  extra: true,
  async run({ plan }) {
    const rows = await runJwt(plan)
    return { groups: [], data: rows, text: jwtText(rows) }
  },
}
