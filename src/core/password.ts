import { randomBytes, type ScryptOptions, scrypt, scryptSync, timingSafeEqual } from 'node:crypto'

/**
 * What is kept of a password in its place. People choose passwords that can be guessed, so trying one must cost time and
 * memory: scrypt (RFC 7914), with the cost that OWASP's cheat sheet on password storage calls for.
 */
export interface PasswordHash {
  readonly options: ScryptOptions
  readonly salt: Buffer
  readonly digest: Buffer
}

const usual = { ln: 15, r: 8, p: 3 }
const digestLength = 32

/** Bytes of memory that checking one password may take. */
const mostMemory = 256 * 1024 * 1024

/** In the form of password hashing libraries, `$scrypt$ln=15,r=8,p=3$<salt>$<digest>`. Takes a quarter of a second. */
export function hashPassword(password: string): string {
  const salt = randomBytes(16)
  const digest = scryptSync(normal(password), salt, digestLength, optionsOf(usual.ln, usual.r, usual.p))
  return `$scrypt$ln=${usual.ln},r=${usual.r},p=${usual.p}$${unpadded(salt)}$${unpadded(digest)}`
}

const form = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]{11,128})\$([A-Za-z0-9+/]{21,128})$/

/** `null` when it is no such hash, or one that is too cheap or too costly to check. */
export function parsePasswordHash(text: string): PasswordHash | null {
  const match = form.exec(text)
  if (match === null) return null
  const [ln, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])]
  if (ln < 10 || ln > 20 || r < 1 || p < 1 || p > 16) return null
  if (memoryOf(ln, r) > mostMemory) return null
  return {
    options: optionsOf(ln, r, p),
    salt: Buffer.from(match[4] as string, 'base64'),
    digest: Buffer.from(match[5] as string, 'base64'),
  }
}

/** Tells, from a thread of libuv's pool, whether this is the password. Takes as long whichever it is. */
export function verifyPassword(
  password: string,
  { options, salt, digest }: PasswordHash,
  done: (isRight: boolean) => void,
): void {
  scrypt(normal(password), salt, digest.length, options, (error, found) =>
    done(error === null && timingSafeEqual(found, digest)),
  )
}

/** One text may be encoded in several ways (RFC 8265 §4.2.2). */
function normal(password: string): string {
  return password.normalize('NFC')
}

function optionsOf(ln: number, r: number, p: number): ScryptOptions {
  // Node asks for a limit above what the algorithm takes.
  return { N: 2 ** ln, r, p, maxmem: memoryOf(ln, r) + 128 * r * p + 1024 * 1024 }
}

function memoryOf(ln: number, r: number): number {
  return 128 * 2 ** ln * r
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '')
}
