const form = /^[a-z][a-z0-9+.-]*:\/\/[^/?#@*\s]+$/i

/** What is wrong with an entry of `origins`, or `null`. */
export function originFault(text: string): string | null {
  if (text === '*') return null
  if (text.startsWith('~')) return patternFault(text)
  if (serialised(text) !== null) return null
  if (text.includes('*'))
    return 'must be an origin such as https://app.example.com; write a pattern as "~" and a regular expression'
  return 'must be an origin such as https://app.example.com, without path, "*", or "~" and a regular expression'
}

function patternFault(text: string): string | null {
  try {
    pattern(text)
    return null
  } catch {
    return 'must be a regular expression after "~"'
  }
}

/** Whether an entry lets sites in that nobody can have meant by name. */
export function matchesEveryOrigin(text: string): boolean {
  if (text === '*' || text === 'null') return true
  return text.startsWith('~') && patternFault(text) === null && probes.every((probe) => pattern(text).test(probe))
}

const probes = ['https://a.example', 'http://b.invalid:8443']

/** An origin as browsers write it (Fetch §3.1): lower-case, without the scheme's own port; `null` when it is none. */
function serialised(text: string): string | null {
  if (text === 'null') return text
  if (!form.test(text)) return null
  if (!/^https?:/i.test(text)) return text.toLowerCase()
  try {
    return new URL(text).origin
  } catch {
    return null
  }
}

/** The whole origin must match: `~https://.*\.example\.com` must not let in `https://www.example.com.evil.test`. */
function pattern(text: string): RegExp {
  return new RegExp(`^(?:${text.slice(1)})$`)
}

export interface Origins {
  /** Everybody, by `*`. */
  readonly any: boolean
  /** Whether an Origin field's value is among them. */
  allows(origin: string): boolean
}

/** Compiles the entries of `origins`. */
export function compileOrigins(texts: readonly string[]): Origins {
  const any = texts.includes('*')
  const exact = new Set(texts.flatMap((text) => (text.startsWith('~') ? [] : (serialised(text) ?? []))))
  const patterns = texts.filter((text) => text.startsWith('~')).map(pattern)
  return {
    any,
    allows(origin) {
      if (any || exact.has(origin)) return true
      for (let i = 0; i < patterns.length; i++) {
        // What a pattern lets in is sent back as it came.
        if ((patterns[i] as RegExp).test(origin)) return visible.test(origin)
      }
      return false
    },
  }
}

const visible = /^[!-~]+$/
