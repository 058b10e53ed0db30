import { pino } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { createLogger, formatLine, pluginLog } from './logger.ts'

afterEach(() => vi.unstubAllEnvs())

test('a line for people: time, who, what, fields', () => {
  const time = '2026-01-31T12:30:01.000Z'
  const line = (fields: object): string =>
    formatLine(JSON.stringify({ level: 'info', time, role: 'primary', pid: 7, ...fields }))
  expect(line({ msg: 'listening', address: '127.0.0.1:8080', tls: false })).toBe(
    '12:30:01 listening address=127.0.0.1:8080 tls=false\n',
  )
  expect(line({ level: 'warn', role: 'worker', msg: 'slow' })).toBe('12:30:01 worker 7 warn slow\n')
  expect(line({ level: 'error', msg: 'failed', error: { code: 1 } })).toBe('12:30:01 error failed error={"code":1}\n')
})

test('a line for people stays one line and moves no cursor', () => {
  const line = formatLine(
    JSON.stringify({ level: 'info', time: '2026-01-31T12:30:01.000Z', msg: 'a\nb', name: '\u001b[2Jx' }),
  )
  expect(line).toBe('12:30:01 a b name= [2Jx\n')
})

test('plugins log without knowing the logger', () => {
  const lines: Record<string, unknown>[] = []
  const log = pluginLog(pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) }))
  log.warn('unknown tenant', { tenant: 'x' })
  log.info('started')
  log.error('broken')
  expect(lines).toMatchObject([
    { level: 40, tenant: 'x', msg: 'unknown tenant' },
    { level: 30, msg: 'started' },
    { level: 50, msg: 'broken' },
  ])
})

test('the environment sets the level', () => {
  vi.stubEnv('SLUICE_LOG_LEVEL', 'ERROR')
  expect(createLogger({ role: 'primary', terminal: false }).level).toBe('error')
  vi.stubEnv('SLUICE_LOG_LEVEL', undefined)
  expect(createLogger({ role: 'primary', terminal: false }).level).toBe('info')
})
