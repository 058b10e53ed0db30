import { writeSync } from 'node:fs'
import { type DestinationStream, type Logger, pino } from 'pino'
import type { PluginLog } from '../core/plugin.ts'
import { Stdout } from './stdout.ts'

/** The log of the control path: starts, reloads, faults, deaths. Requests go to the access log. */
export type Log = Logger

export interface LoggerSettings {
  /** Who writes: stands in every line. */
  readonly role: 'primary' | 'worker'
  /** Short lines for people instead of JSON; default: whether stdout is a terminal. */
  readonly terminal?: boolean
}

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']
const utc = pino.stdTimeFunctions.isoTime

/** Opens the log on stdout. `SLUICE_LOG_LEVEL` sets the level (trace, debug, info, warn, error, fatal, silent). */
export function createLogger({ role, terminal = process.stdout.isTTY === true }: LoggerSettings): Log {
  const wanted = process.env.SLUICE_LOG_LEVEL?.toLowerCase()
  const level = wanted !== undefined && levels.includes(wanted) ? wanted : 'info'
  const log = pino(
    { level, base: { role, pid: process.pid }, timestamp: utc, formatters: { level: (label) => ({ level: label }) } },
    terminal ? terminalStream() : new Stdout(),
  )
  if (wanted !== undefined && wanted !== level)
    log.warn({ level: wanted }, 'SLUICE_LOG_LEVEL is not a level, using info')
  return log
}

/** The log as plugins and others see it that know nothing of the logger behind. */
export function pluginLog(log: Log): PluginLog {
  return {
    info: (message, fields = {}) => log.info(fields, message),
    warn: (message, fields = {}) => log.warn(fields, message),
    error: (message, fields = {}) => log.error(fields, message),
  }
}

function terminalStream(): DestinationStream {
  return {
    write(line) {
      const { level } = JSON.parse(line) as { level: string }
      try {
        writeSync(level === 'error' || level === 'fatal' ? 2 : 1, formatLine(line))
      } catch {
        // The terminal was closed.
      }
    },
  }
}

const known = new Set(['level', 'time', 'role', 'pid', 'msg'])

/** A JSON line as a person wants it: `12:30:01 worker 4711 warn message key=value`. */
export function formatLine(line: string): string {
  const entry = JSON.parse(line) as { msg?: string; [field: string]: unknown }
  const clock = String(entry.time).slice(11, 19)
  const who = entry.role === 'worker' ? ` worker ${String(entry.pid)}` : ''
  const level = entry.level === 'info' ? '' : ` ${String(entry.level)}`
  let text = `${clock}${who}${level} ${entry.msg ?? ''}`
  for (const [key, value] of Object.entries(entry)) {
    if (!known.has(key)) text += ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`
  }
  // eslint-disable-next-line no-control-regex
  return `${text.replace(/[\u0000-\u001f\u007f]/g, ' ')}\n`
}
