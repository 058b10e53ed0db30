const beyondAscii = /[^\u0020-\u007e\t]/
const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A field's value of the request, which is text, with one character per byte: as calls to services take it. */
export function toBytes(text: string): string {
  return beyondAscii.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text
}

/** A field's value of an answer, one character per byte, as the text that requests hold; `null` when it is none. */
export function toText(bytes: string): string | null {
  if (!beyondAscii.test(bytes)) return bytes
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return null
  }
}
