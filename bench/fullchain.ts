import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, SignJWT } from 'jose'
import { createFolder, freePort, isInstalled, loadCore, type Started, startProcess } from './processes.ts'

/** Writes jwks.json and public.pem; the values of Authorization that they are for, each of a caller of its own. */
export async function writeKeys(folder: string, count = 1000): Promise<string[]> {
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
  const tokens = await Promise.all(Array.from({ length: count }, (_, i) => sign(i)))
  return tokens.map((token) => `Bearer ${token}`)
}

/** What `bench/configs/fullchain.yaml` asks for: tokens, and a Redis where it is installed. */
export interface FullChain {
  readonly folder: string
  readonly credentials: readonly string[]
  /** Who can count, the one that other nodes see first. */
  readonly stores: readonly Store[]
  /** The environment of a gateway whose limits are counted there. */
  readonly env: (store: Store) => Readonly<Record<string, string>>
}

export type Store = 'redis' | 'node'

/** Its Redis ends with `started`. */
export async function prepareFullChain(started: Started[], callers = 1000): Promise<FullChain> {
  const folder = createFolder()
  const credentials = await writeKeys(folder, callers)
  const redis = isInstalled('redis-server') ? await startRedis(started) : null
  return {
    folder,
    credentials,
    stores: redis === null ? ['node'] : ['redis', 'node'],
    env: (store) => ({
      BENCH_FOLDER: folder,
      BENCH_STORE: store,
      BENCH_REDIS_URL: redis ?? 'redis://127.0.0.1:1',
    }),
  }
}

/** A Redis without persistence, on the core of load and origin. Its URL. */
async function startRedis(started: Started[]): Promise<string> {
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
