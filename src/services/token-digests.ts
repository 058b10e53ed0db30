/** Tokens that are remembered, and the longest that are: 8 MB at most. */
const places = 4096
const longest = 2048

/**
 * Digests of tokens that come again and again: to compare a token with the one that was at its place last costs a fraction of
 * hashing it (native-notes/costs.md). Where its place is may be guessed by who sends it, and does not matter: only the very same
 * text, compared to its last character, is given its digest.
 *
 * Only good tokens are kept: those of a flood, each of them new, must not push them out, nor live longer than their requests.
 */
export class TokenDigests {
  readonly #tokens: string[] = Array.from({ length: places }, () => '')
  readonly #digests: string[] = Array.from({ length: places }, () => '')

  /** The SHA-256 of the token as it was kept, or `''`. */
  find(token: string): string {
    const place = placeOf(token)
    return this.#tokens[place] === token ? (this.#digests[place] as string) : ''
  }

  keep(token: string, digest: string): void {
    if (token.length > longest) return
    const place = placeOf(token)
    this.#tokens[place] = token
    this.#digests[place] = digest
  }

  clear(): void {
    this.#tokens.fill('')
    this.#digests.fill('')
  }
}

/** By a few characters of the signature; its last one may hold padding only. */
function placeOf(token: string): number {
  const end = token.length - 2
  const high = Math.imul(token.charCodeAt(end), 64) + token.charCodeAt(end - 1)
  return (Math.imul(high, 4099) + Math.imul(token.charCodeAt(end - 2), 67) + token.charCodeAt(end - 3)) & (places - 1)
}
