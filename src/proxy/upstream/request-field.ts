// eslint-disable-next-line no-control-regex
const beyondAscii = /[^\u0000-\u007f]/

/**
 * A request field's value as it goes on the wire, one character per byte: the listener decoded it from UTF-8, parsers
 * and sockets write latin1.
 */
export function toBytes(value: string): string {
  return beyondAscii.test(value) ? Buffer.from(value, 'utf8').toString('latin1') : value
}
