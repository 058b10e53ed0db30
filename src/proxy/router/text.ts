/** Reading text in place: a substring made only to be compared would be garbage on every request. */

/** Whether `text[start, end)` is `expected`. */
export function sliceEquals(text: string, start: number, end: number, expected: string): boolean {
  if (end - start !== expected.length) return false
  for (let i = 0; i < expected.length; i++) {
    if (text.charCodeAt(start + i) !== expected.charCodeAt(i)) return false
  }
  return true
}

/** The same without regard to ASCII case; `expected` is lower-case. */
export function sliceEqualsIgnoringCase(text: string, start: number, end: number, expected: string): boolean {
  if (end - start !== expected.length) return false
  for (let i = 0; i < expected.length; i++) {
    const c = text.charCodeAt(start + i)
    const lower = c >= 0x41 && c <= 0x5a ? c | 0x20 : c
    if (lower !== expected.charCodeAt(i)) return false
  }
  return true
}

/** Value of a hexadecimal digit, or NaN, which is false in every comparison. */
export function hexValue(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  const letter = c | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : NaN
}
