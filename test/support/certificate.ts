import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generate } from 'selfsigned'

export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** An elliptic-curve certificate for `names` (host names or IPv4 addresses), signed by `ca` or by itself. */
export async function certificateFor(
  names: readonly string[],
  options: { ca?: Certificate; isCa?: boolean; expired?: boolean } = {},
): Promise<Certificate> {
  const day = 86_400_000
  const { private: key, cert } = await generate([{ name: 'commonName', value: names[0] ?? 'nobody' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(Date.now() - 10 * day),
    notAfterDate: new Date(Date.now() + (options.expired === true ? -day : day)),
    extensions: [
      { name: 'basicConstraints', cA: options.isCa === true },
      {
        name: 'subjectAltName',
        altNames: names.map((name) => (/^[0-9.]+$/.test(name) ? { type: 7, ip: name } : { type: 2, value: name })),
      },
    ],
    ...(options.ca === undefined ? undefined : { ca: options.ca }),
  })
  return { cert, key }
}

/** Writes files to a folder of their own. Returns their paths, in order, and what removes the folder. */
export function writeFiles(...contents: string[]): { paths: string[]; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
  const paths = contents.map((text, i) => {
    const path = join(folder, `${i}.pem`)
    writeFileSync(path, text)
    return path
  })
  return { paths, remove: () => rmSync(folder, { recursive: true, force: true }) }
}
