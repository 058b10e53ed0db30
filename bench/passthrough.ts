import type { Generator } from './load.ts'
import { measureInTurns, type Plan, type Row } from './rounds.ts'
import { type Proxy, rivals, startOrigin, startProxy } from './servers.ts'

/** The pass-through workload on the gateway and on every rival that is installed. */
export async function runPassthrough(
  generators: readonly Generator[],
  only: readonly string[],
  plan: Plan,
  tell: (text: string) => void,
): Promise<Row[]> {
  const origin = await startOrigin()
  const proxies: Proxy[] = []
  try {
    for (const name of rivals()) {
      if (only.length === 0 || only.includes(name)) proxies.push(await startProxy(name, origin.port))
    }
    const rows: Row[] = []
    for (const generator of generators) rows.push(...(await measureInTurns(proxies, generator, plan, tell)))
    return rows
  } finally {
    await Promise.all([...proxies.map(({ started }) => started.stop()), origin.stop()])
  }
}
