import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'

/** What came of one text with references. */
export interface Filled {
  readonly text: string
  /** Something was inserted. */
  readonly isFilled: boolean
  /** What was inserted from outside the file; never to be shown. */
  readonly secrets: readonly string[]
  /** Absolute paths of the files that `${file:}` names, readable or not. */
  readonly files: readonly string[]
  /** Some of it came from the environment. */
  readonly fromEnvironment: boolean
  readonly faults: readonly string[]
}

const reference = /\$\$\{|\$\{([^{}]*)(\}?)/g
const envReference = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s
const fileReference = /^file:(.+)$/s

/** Bytes that a `${file:}` may have: it holds a secret, not a data set. */
const maxFileSize = 1 << 20

/**
 * Fills in `${env:NAME}`, `${env:NAME:-default}` (the default also where the variable is empty, as in a shell) and
 * `${file:path}` (without the line break at its end). `$${` stands for a literal `${`.
 */
export function fill(text: string, dir: string, env: NodeJS.ProcessEnv): Filled {
  const secrets: string[] = []
  let isFilled = false
  const files: string[] = []
  const faults: string[] = []
  let fromEnvironment = false

  /** A default stands in the file, for everybody to read. */
  const insert = (value: string, isSecret = true): string => {
    isFilled = true
    if (isSecret) secrets.push(value)
    return value
  }
  const filled = text.replace(reference, (whole: string, inner: string | undefined, end: string | undefined) => {
    if (inner === undefined) return '${'
    if (end === '') {
      faults.push(`"${whole}" has no closing brace (a literal "\${" is written "$\${")`)
      return ''
    }
    const variable = envReference.exec(inner)
    if (variable !== null) {
      const [, name = '', fallback] = variable
      const value = env[name]
      fromEnvironment = true
      if (value !== undefined && (value !== '' || fallback === undefined)) return insert(value)
      if (fallback !== undefined) return insert(fallback, false)
      faults.push(`the environment variable ${name} is not set`)
      return ''
    }
    const path = fileReference.exec(inner)?.[1]
    if (path !== undefined) {
      const file = resolve(dir, path)
      files.push(file)
      try {
        return insert(readSecret(file))
      } catch (error) {
        faults.push(`the file ${path} can't be read: ${reasonOf(error)}`)
        return ''
      }
    }
    faults.push(
      `unknown reference "${whole}": write \${env:NAME}, \${env:NAME:-default} or \${file:path} (a literal "\${" is written "$\${")`,
    )
    return ''
  })
  return { text: filled, isFilled, secrets, files, fromEnvironment, faults }
}

/** Whether `text` needs `fill`. */
export function hasReference(text: string): boolean {
  return text.includes('${')
}

function readSecret(file: string): string {
  const stat = statSync(file)
  if (!stat.isFile()) throw new Error('it is not a file')
  if (stat.size > maxFileSize) throw new Error('it is larger than 1mb')
  return readFileSync(file, 'utf8').replace(/\r?\n$/, '')
}

/** Why a file can't be read, in words and without its path. */
export function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'ENOENT':
      return 'no such file'
    case 'EACCES':
    case 'EPERM':
      return 'permission denied'
    case 'EISDIR':
      return 'it is a folder'
    case 'ENOTDIR':
      return 'a part of its path is not a folder'
    case undefined:
    default:
      return message
  }
}
