import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { formatFault } from '../src/config/fault.ts'
import { loadConfig } from '../src/config/load.ts'
import { rejections } from '../src/core/errors.ts'
import { plugins } from '../src/plugins/index.ts'
import { certificateFor } from './support/certificate.ts'

const root = join(import.meta.dirname, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

describe('README', () => {
  test('lists every plugin, in order, and nothing else', () => {
    expect(firstWords('plugins', /^\| \[([^\]]+)\]/)).toEqual(plugins.map(({ name }) => name))
  })

  test('lists every code of the catalogue and nothing else', () => {
    expect(firstWords('errors', /^\| \d+ \| `([^`]+)`/)).toEqual(Object.keys(rejections))
  })

  test('links to files and headings that are there', () => {
    const links = [...readme.matchAll(/\]\(([^)]+)\)/g)].map(([, target = '']) => target)
    const broken = links.filter((target) => {
      if (/^https?:/.test(target)) return false
      const [file = '', heading] = target.split('#')
      const text = file === '' ? readme : existsSync(join(root, file)) ? contentOf(file) : null
      return text === null || (heading !== undefined && !headings(text).includes(heading))
    })
    expect(links.length).toBeGreaterThan(10)
    expect(broken).toEqual([])
  })

  test('shows configurations that are valid', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const { cert, key } = await certificateFor(['*.shop.example'])
    mkdirSync(join(folder, 'certs'))
    for (const name of ['default', 'shop', 'internal-ca']) {
      writeFileSync(join(folder, 'certs', `${name}.pem`), cert)
      writeFileSync(join(folder, 'certs', `${name}.key`), key)
    }
    const blocks = [...readme.matchAll(/```yaml\n((?:#.*\n)?version: [^]*?)```/g)].map(([, text = '']) => text)
    expect(blocks.length).toBeGreaterThan(1)
    for (const [i, text] of blocks.entries()) {
      const file = join(folder, `${i}.yaml`)
      writeFileSync(file, text.replace('/var/log/sluice', folder))
      const result = await loadConfig(file)
      expect('faults' in result ? result.faults.map(formatFault) : []).toEqual([])
    }
  })

  test('names npm scripts that are there', () => {
    const { scripts } = JSON.parse(contentOf('package.json')) as { scripts: Record<string, string> }
    const texts = readme + contentOf('CONTRIBUTING.md')
    const named = [...texts.matchAll(/npm (?:run )?(start|test|(?<=run )[a-z:]+)/g)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(5)
    expect(named.filter((name) => !(name in scripts))).toEqual([])
  })
})

test('every folder of src/plugins is a plugin that is listed', () => {
  const folders = readdirSync(join(root, 'src/plugins'), { withFileTypes: true }).filter((entry) => entry.isDirectory())
  expect(new Set(folders.map(({ name }) => name))).toEqual(new Set(plugins.map(({ name }) => name)))
})

test('what is written from the code says what the code says', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/docs.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  expect(status).toBe(0)
})

/** First cells of the rows between two markers. */
function firstWords(marker: string, pattern: RegExp): string[] {
  const [, section = ''] = readme.split(new RegExp(`<!-- /?${marker} -->`))
  const rows = section.trim().split('\n').slice(2)
  return rows.map((row) => pattern.exec(row)?.[1] ?? row)
}

/** Headings as GitHub makes anchors of them. */
function headings(text: string): string[] {
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} -]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function contentOf(file: string): string {
  return existsSync(join(root, file)) && !file.endsWith('/') ? readFileSync(join(root, file), 'utf8') : ''
}
