import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeKeys } from '../fullchain.ts'
import { createFolder } from '../processes.ts'
import { compare, type Subject } from '../rounds.ts'
import { fillConfig, root, startGateway } from '../servers.ts'
import { onStage } from './stage.ts'
import type { Workload } from './workload.ts'

export const plugins: Workload = {
  name: 'plugins',
  title: 'Plugin chain',
  about:
    'Sluice with no plugin, with 5 (correlation-id, cors, ip-restriction, request-size-limiting, security-headers), with 10 (also jwt, acl, rate-limiting, request- and response-transformer), and with 20 (also ten modules of an operator, each adding a field).',
  minutes: 1,
  run: ({ plan, choice, quick, step }) =>
    onStage(async ({ origin, hold }) => {
      const folder = createFolder()
      const credentials = await writeKeys(folder, quick ? 10 : 1000)
      const subjects: Subject[] = []
      for (const count of [0, 5, 10, 20]) {
        const file = join(folder, `plugins-${count}.yaml`)
        writeFileSync(file, fillConfig('plugins.yaml', { chain: chainOf(count) }))
        const proxy = hold(await startGateway(file, origin.port, {}, credentials[0]))
        subjects.push({ ...proxy, name: `sluice, ${count} plugins` })
      }
      return { groups: await compare('Plugins', subjects, { ...plan, credentials }, step, { choice }) }
    }),
}

const brought = [
  'correlation-id',
  '{ name: cors, config: { origins: ["https://app.example.com"] } }',
  '{ name: ip-restriction, config: { allow: [127.0.0.0/8] } }',
  '{ name: request-size-limiting, config: { allowed_payload_size: 64kb } }',
  'security-headers',
  '{ name: jwt, config: { issuer: "https://auth.example.com", audience: api.example.com, jwks: { file: ./jwks.json } } }',
  '{ name: acl, config: { allow: { roles: [user, admin] } } }',
  '{ name: rate-limiting, config: { store: node, limits: [{ by: consumer, limit: 100000000, window: 60s }] } }',
  '{ name: request-transformer, config: { add: { headers: ["X-API-Version:2026-04"] } } }',
  '{ name: response-transformer, config: { add: { headers: ["X-Served-By:sluice"] } } }',
]

function chainOf(count: number): string {
  const module = join(root, 'bench/configs/plugin.mjs')
  const own = Array.from({ length: Math.max(0, count - brought.length) }, (_, i) => {
    return `{ name: field-${i}, use: "${module}", config: { field: x-field-${i} } }`
  })
  return `[${[...brought.slice(0, count), ...own].join(', ')}]`
}
