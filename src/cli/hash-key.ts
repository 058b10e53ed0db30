import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { reasonOf } from '../config/fill.ts'
import {
  createKey,
  hashKey as hashOfKey,
  idOfKey,
  indexOfDigest,
  keyedDigest,
  keyedHashOfKey,
  longestKey,
  randomKeyId,
} from '../core/api-key.ts'
import { hashPassword } from '../core/password.ts'
import type { Input } from './input.ts'
import { type Output, styled } from './output.ts'

export interface HashKeyOptions {
  /** Hash a key that is there already. */
  readonly stdin: boolean
  /** Hash a password. */
  readonly password: boolean
  readonly prefix: string
  readonly id?: string
  readonly consumer?: string
  readonly tier?: string
  readonly scopes?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly expires?: number
  readonly saltFile?: string
  readonly redisPrefix: string
  readonly username?: string
  readonly json: boolean
}

/** What a secret can't be made or hashed for, in words for the person at the terminal. */
class Refusal extends Error {}

/** A key or password that is shorter can be guessed. */
const shortKey = 20
const shortPassword = 8
const shortestSalt = 16

/** Makes an API key, or takes one or a password from standard input, and prints what the gateway needs of it: a hash. */
export async function hashKey(options: HashKeyOptions, input: Input, output: Output): Promise<number> {
  try {
    if (options.password) await printPassword(options, input, output)
    else await printKey(options, input, output)
    return 0
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    output.err(`${styled(output, 'red', error.message)}\n`)
    return 1
  }
}

async function printPassword(
  { username, consumer, json }: HashKeyOptions,
  input: Input,
  output: Output,
): Promise<void> {
  const password = await readSecret('Password', input)
  if (input.terminal && (await input.ask('Again: ')) !== password)
    throw new Refusal('these are two different passwords')
  if (password.length < shortPassword) warn(output, 'a password as short as this can be guessed')
  const entry = { username, password_hash: hashPassword(password), consumer }
  if (json) return output.out(`${JSON.stringify(entry, null, 2)}\n`)
  output.out(`${heading(output, 'Configuration of basic-auth, under "users":')}${yamlItem(entry, ['username'])}`)
}

/** As an entry of `keys` has them. */
interface KeyFields extends Readonly<Record<string, Value>> {
  readonly id: string
  readonly hash: string
  readonly consumer: string | undefined
  readonly tier: string | undefined
  readonly scopes: readonly string[] | undefined
  readonly expires: string | undefined
}

async function printKey(options: HashKeyOptions, input: Input, output: Output): Promise<void> {
  const { stdin, consumer, tier, scopes, expires, json } = options
  const salt = options.saltFile === undefined ? null : readSalt(options.saltFile)
  const key = stdin ? await readSecret('Key', input) : createKey(options.prefix, options.id ?? randomKeyId())
  if (key.length > longestKey) throw new Refusal(`a key can't be longer than ${longestKey} characters`)
  const ownId = idOfKey(key)
  const id = ownId ?? options.id ?? randomKeyId()
  if (ownId === null) checkForeign(key, salt, output)
  else if (options.id !== undefined && options.id !== ownId) throw new Refusal(`the id of this key is ${ownId}`)

  const fields: KeyFields = {
    id,
    hash: salt === null ? hashOfKey(key) : keyedHashOfKey(key, salt),
    consumer,
    tier,
    scopes,
    expires: expires === undefined ? undefined : new Date(expires).toISOString().replace('.000Z', 'Z'),
  }
  const name = ownId ?? (salt === null ? id : indexOfDigest(keyedDigest(key, salt)))
  const command = redisCommand(`${options.redisPrefix}api-key:${name}`, fields, name)
  if (json) {
    output.out(`${JSON.stringify({ key: stdin ? undefined : key, entry: fields, redis: command }, null, 2)}\n`)
    return
  }
  if (!stdin) output.out(`${heading(output, 'The key, shown only this once:')}  ${key}\n\n`)
  output.out(heading(output, 'Configuration of key-auth, under "keys":'))
  output.out(yamlItem(fields, ['consumer']))
  output.out(`\n${heading(output, 'Or for Redis:')}  ${command.map(quoted).join(' ')}\n`)
}

/** Keys without an id in them are found by a hash that is always the same: it must depend on a secret. */
function checkForeign(key: string, salt: KeyObject | null, output: Output): void {
  if (salt === null)
    throw new Refusal('this key was not made by Sluice: it needs --salt-file, with the "salt" that key-auth is given')
  if (key.length < shortKey) warn(output, 'a key as short as this can be guessed')
}

/** The same text as `${file:…}` would insert. */
function readSalt(file: string): KeyObject {
  let text: string
  try {
    text = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
  } catch (error) {
    throw new Refusal(`${file} can't be read: ${reasonOf(error)}`)
  }
  if (text.length < shortestSalt) throw new Refusal(`${file} must have at least ${shortestSalt} characters`)
  return createSecretKey(Buffer.from(text))
}

async function readSecret(noun: string, input: Input): Promise<string> {
  let text: string | null
  try {
    text = input.terminal ? await input.ask(`${noun}: `) : await input.readAll()
  } catch (error) {
    throw new Refusal((error as Error).message)
  }
  if (text === null) throw new Refusal('nothing was made')
  if (text === '') throw new Refusal(`the ${noun.toLowerCase()} is empty: it is read from standard input`)
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f]/.test(text))
    throw new Refusal(`a ${noun.toLowerCase()} can't hold line breaks or control characters`)
  return text
}

/** Fields whose value is the same without them are left out. */
function redisCommand(
  key: string,
  { id, hash, consumer = '', tier, scopes, expires }: KeyFields,
  name: string,
): string[] {
  const pairs = {
    id: id === name ? undefined : id,
    hash,
    consumer,
    tier,
    scopes: scopes?.join(' '),
    expires,
    status: 'active',
  }
  return [
    'HSET',
    key,
    ...Object.entries(pairs).flatMap(([field, value]) => (value === undefined ? [] : [field, value])),
  ]
}

type Value = string | readonly string[] | undefined

/** One item of a list. Of `required` those without a value stand there empty, for a person to fill in. */
function yamlItem(fields: Readonly<Record<string, Value>>, required: readonly string[]): string {
  const lines = Object.entries(fields).flatMap(([name, value]) => {
    if (value === undefined) return required.includes(name) ? [`${name}: # whose?`] : []
    return [`${name}: ${typeof value === 'string' ? quoted(value) : `[${value.map(quoted).join(', ')}]`}`]
  })
  return lines.map((line, i) => `  ${i === 0 ? '- ' : '  '}${line}\n`).join('')
}

/** Text that needs no quotes, in YAML and for redis-cli, stays as it is. */
function quoted(text: string): string {
  return /^[A-Za-z$][\w./+,=$-]*(?::[\w./+,=$-]+)*$/.test(text) && !/^(?:true|false|null|yes|no|on|off)$/i.test(text)
    ? text
    : JSON.stringify(text)
}

function heading(output: Output, text: string): string {
  return `${styled(output, 'bold', text)}\n\n`
}

function warn(output: Output, text: string): void {
  output.err(`${styled(output, 'yellow', 'warning:')} ${text}\n`)
}
