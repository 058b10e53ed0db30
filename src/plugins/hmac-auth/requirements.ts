import type { Item } from 'structured-headers'
import type { Message } from './signed-text.ts'

/** What a signature must cover, compiled. */
interface Requirement {
  /** Any of these components does. */
  readonly components: readonly string[]
  readonly when: 'always' | 'query' | 'body'
}

/** Components that say the same and more. */
const alternatives: Readonly<Record<string, readonly string[]>> = {
  '@authority': ['@authority', '@target-uri', 'host'],
  '@path': ['@path', '@target-uri', '@request-target'],
  '@query': ['@query', '@target-uri', '@request-target'],
}

/** Makes the function that tells whether a signature covers enough of a request. */
export function coverage(required: readonly string[]): (message: Message, covered: readonly Item[]) => boolean {
  const requirements = required.map(
    (name): Requirement => ({
      components: alternatives[name] ?? [name],
      when: name === '@query' ? 'query' : name === 'content-digest' ? 'body' : 'always',
    }),
  )
  return (message, covered) => {
    for (const { components, when } of requirements) {
      if (when === 'query' && message.query === '') continue
      if (when === 'body' && message.bodyLength === 0) continue
      if (!covered.some(([name]) => components.includes(name as string))) return false
    }
    return true
  }
}
