/** What a token costs on the event loop: known ones, bad ones, and a signature checked there and then. */
import { hash } from 'node:crypto'
import { noInstruments } from '../../src/core/services/instruments.ts'
import type { TokenRules } from '../../src/core/services/tokens.ts'
import { readJws } from '../../src/services/jws.ts'
import { isSignedWith } from '../../src/services/jwt-signature.ts'
import { JwtVerifier } from '../../src/services/jwt-verifier.ts'
import { TokenFigures } from '../../src/services/token-figures.ts'
import { VerificationPool } from '../../src/services/verification-pool.ts'
import { audience, type BenchSigner, benchSigner, issuer } from '../signed.ts'

const log = { info() {}, warn() {}, error() {} }

function verifierOf({ algorithm, kid, public: key }: BenchSigner): JwtVerifier<object> {
  const keys = [{ kid, algorithms: [algorithm], key, live: true }]
  const rules: TokenRules<object> = {
    fingerprint: 'bench',
    issuers: [{ issuer, audiences: [audience], algorithms: [algorithm], keys: { empty: false, find: () => keys } }],
    clockSkew: 0,
    required: ['exp'],
    maxAge: 0,
    maxSize: 8192,
    cache: { entries: 10_000, bytes: 64 * 1024 ** 2 },
    accept: (claims) => claims,
  }
  const figures = new TokenFigures(noInstruments)
  return new JwtVerifier(rules, { pool: new VerificationPool(noInstruments, log), figures, log, onClose() {} })
}

/** Tokens in turns: as many as a busy gateway sees again and again. */
const count = 4096
let turn = 0
function next(tokens: readonly string[]): string {
  turn = (turn + 1) % tokens.length
  return tokens[turn] as string
}

const hmac = benchSigner('HS256')
const verifier = verifierOf(hmac)
const known = Array.from({ length: count }, (_, n) => hmac.token(n))
for (const token of known) void verifier.verify(token)
const one = known[0] as string

const forged = known.slice(0, 1024).map((token, n) => {
  const signature = Buffer.alloc(32, `${n}`).toString('base64url')
  return `${token.slice(0, token.lastIndexOf('.'))}.${signature}`
})
for (const token of [...forged, ...forged]) void verifier.verify(token)

let serial = 0
function newForged(): string {
  return `${one.slice(0, -9)}${String((serial += 1)).padStart(8, '0')}${one.slice(-1)}`
}

const inline = ['HS256', 'RS256', 'PS256', 'ES256', 'EdDSA', 'ES384', 'ES512'].map((algorithm) => {
  const signer = benchSigner(algorithm)
  const tokens = Array.from({ length: 32 }, (_, n) => signer.token(n))
  return [`signature ${algorithm}`, () => void isSignedWith(signer.public, algorithm, next(tokens))] as const
})

export const suite = {
  name: 'jwt',
  cases: {
    'SHA-256 of a token': () => void hash('sha256', next(known)),
    [`known token, ${count} in turns`]: () => void verifier.verify(next(known)),
    'known token, always the same': () => void verifier.verify(one),
    'bad token, seen before': () => void verifier.verify(next(forged)),
    'bad token, never seen (HS256)': () => void verifier.verify(newForged()),
    'header and claims read': () => void readJws(next(known)),
    ...Object.fromEntries(inline),
  },
}
