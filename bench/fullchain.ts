import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, SignJWT } from 'jose'
import { freePort, loadCore, type Started, startProcess } from './processes.ts'

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
