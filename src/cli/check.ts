import { loadOrTell } from './load.ts'
import { count, type Output } from './output.ts'

/** Validates everything that can be validated without traffic. */
export async function check(file: string, output: Output): Promise<number> {
  const loaded = await loadOrTell(file, output)
  if (loaded === null) return 1
  const { listeners, routes, upstreams } = loaded.config
  const facts = [
    count(listeners.length, 'listener'),
    count(routes.length, 'route'),
    count(upstreams.length, 'upstream'),
  ]
  output.out(`${file}: ok (${facts.join(', ')})\n`)
  return 0
}
