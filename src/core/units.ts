const millisecondsPer: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const bytesPer: Readonly<Record<string, number>> = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }

const durationPattern = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/
const sizePattern = /^(\d+(?:\.\d+)?)(b|kb|mb|gb)?$/i

/** `50ms`, `10s`, `1m`, `1h`, `1d`, or a number of seconds, in milliseconds; `null` when it is none of these. */
export function parseDuration(value: string | number): number | null {
  return parseAmount(String(value), durationPattern, millisecondsPer, 's')
}

/** `512b`, `64kb`, `1mb`, `1gb` (powers of 1024), or a number of bytes; `null` when it is none of these. */
export function parseSize(value: string | number): number | null {
  return parseAmount(String(value), sizePattern, bytesPer, 'b')
}

function parseAmount(
  text: string,
  pattern: RegExp,
  factors: Readonly<Record<string, number>>,
  unit: string,
): number | null {
  const match = pattern.exec(text.trim())
  if (match === null) return null
  const amount = Math.round(Number(match[1]) * (factors[(match[2] ?? unit).toLowerCase()] as number))
  return Number.isSafeInteger(amount) ? amount : null
}
