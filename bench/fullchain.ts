import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, SignJWT } from 'jose'
import type { Generator } from './load.ts'
import { createFolder, freePort, isInstalled, loadCore, type Started, startProcess } from './processes.ts'
import { measureInTurns, type Plan, type Row } from './rounds.ts'
import { type Proxy, root, startGateway, startOrigin, startRival } from './servers.ts'

/** Callers, each with a token of its own. */
const tokenCount = 1000

/**
 * RS256 tokens, a sliding window per consumer, identity headers, access log and metrics, on the gateway with each of its
 * stores, on its own pass-through, and on every rival that is installed, as far as it can.
 */
export async function runFullChain(
  generators: readonly Generator[],
  plan: Plan,
  tell: (text: string) => void,
): Promise<Row[]> {
  const origin = await startOrigin()
  const folder = createFolder()
  const credentials = await writeKeys(folder)
  const [credential] = credentials as [string]
  const started: Started[] = []
  const proxies: Proxy[] = []
  const add = (proxy: Proxy, name: string): void => {
    proxies.push({ ...proxy, name })
    started.push(proxy.started)
  }
  try {
    const redis = isInstalled('redis-server') ? await startRedis(started) : null
    const stores = redis === null ? ['node'] : ['redis', 'node']
    for (const store of stores) {
      const env = { BENCH_FOLDER: folder, BENCH_STORE: store, BENCH_REDIS_URL: redis ?? 'redis://127.0.0.1:1' }
      const config = join(root, 'bench/configs/fullchain.yaml')
      add(await startGateway(config, origin.port, env, credential), `sluice, ${store}`)
    }
    add(await startGateway(join(root, 'bench/configs/passthrough.yaml'), origin.port), 'sluice, pass-through')
    if (isInstalled('haproxy')) {
      const key = join(folder, 'public.pem')
      add(await startRival('haproxy', 'haproxy-fullchain.cfg', origin.port, { key }, credential), 'haproxy')
    }
    if (isInstalled('nginx')) add(await startRival('nginx', 'nginx-fullchain.conf', origin.port), 'nginx, no tokens')
    const rows: Row[] = []
    for (const generator of generators) {
      rows.push(...(await measureInTurns(proxies, generator, { ...plan, credentials }, tell)))
    }
    return rows
  } finally {
    await Promise.all([...started.map((one) => one.stop()), origin.stop()])
  }
}

/** Writes jwks.json and public.pem; the values of Authorization that they are for. */
export async function writeKeys(folder: string): Promise<string[]> {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'bench', alg: 'RS256', use: 'sig' }
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify({ keys: [jwk] }))
  writeFileSync(join(folder, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const sign = (i: number): Promise<string> =>
    new SignJWT({ role: i % 10 === 0 ? 'admin' : 'user', email: `user-${i}@example.com` })
      .setProtectedHeader({ alg: 'RS256', kid: 'bench', typ: 'JWT' })
      .setSubject(`user-${i}`)
      .setIssuer('https://auth.example.com')
      .setAudience('api.example.com')
      .setIssuedAt()
      .setExpirationTime('8h')
      .sign(privateKey)
  const tokens = await Promise.all(Array.from({ length: tokenCount }, (_, i) => sign(i)))
  return tokens.map((token) => `Bearer ${token}`)
}

/** A Redis without persistence, on the core of load and origin. Its URL. */
export async function startRedis(started: Started[]): Promise<string> {
  const port = await freePort()
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--daemonize', 'no']
  const redis = startProcess(loadCore, 'redis-server', args)
  started.push(redis)
  await new Promise<void>((resolve, reject) => {
    redis.process.stdout?.on('data', (text: Buffer) => {
      if (text.toString().includes('Ready to accept connections')) resolve()
    })
    redis.process.once('close', () => reject(new Error(`redis-server did not start\n${redis.stderr()}`)))
  })
  return `redis://127.0.0.1:${port}`
}
