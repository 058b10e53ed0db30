import { createHash } from 'node:crypto'
import type { Limit } from '../../core/services/limits.ts'

/** Longer keys are named by their hash: clients choose them. */
const longest = 160

/** What the names of all counters of a limit begin with. An algorithm never meets what another one has stored. */
export function counterPrefix({ algorithm, name }: Limit): string {
  return `limit:${algorithm}:${name.replaceAll('%', '%25').replaceAll(':', '%3A')}:`
}

/** What they end with. */
export function counterSuffix(key: string): string {
  if (key.length <= longest && key.charCodeAt(0) !== 0x23) return key
  return `#${createHash('sha256').update(key).digest('base64url')}`
}

/** Slots of a cluster, and zones of neighbouring slots, which mostly are on the same node. */
const slotsPerZone = 256

export function zoneOf(slot: number): number {
  return Math.floor(slot / slotsPerZone)
}

/** The slot of a key in a cluster: of what is in its first `{…}`, else of the whole. */
export function slotOf(key: string): number {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  return crc16(Buffer.from(close > open + 1 ? key.slice(open + 1, close) : key)) % 16_384
}

/** CRC-16/XMODEM. */
function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) crc = ((crc << 8) & 0xffff) ^ (crcTable[(crc >> 8) ^ byte] as number)
  return crc
}

const crcTable = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  return crc
})
