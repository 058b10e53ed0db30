import { once } from 'node:events'
import { join } from 'node:path'
import { startSluice } from '../peers/sluice.ts'
import { largestResident, loadCore, openFiles, type Started, startProcess } from '../processes.ts'
import { compare, type Group } from '../rounds.ts'
import type { Proxy } from '../servers.ts'
import { onStage } from './stage.ts'
import type { Bench, Workload } from './workload.ts'

const title = '64 busy'

export const idle: Workload = {
  name: 'idle',
  title: 'Idle connections',
  about:
    '10,000 clients that keep their connections open and send a request every 7 s, while 64 others are busy. One proxy after the other, not in turns: a crowd takes seconds to gather. Memory is what the process (of Sluice: its worker) has more once they are there.',
  minutes: 2,
  run: (bench) =>
    onStage(async ({ origin, hold }) => {
      const count = bench.quick ? 500 : Math.min(10_000, Math.floor(openFiles() / 2))
      const setup = { origin: origin.port }
      const starts = [startSluice, ...bench.peers.map((peer) => peer.start)]
      const found: Group[] = []
      let { choice } = bench
      for (const [i, start] of starts.entries()) {
        const proxy = hold(await start(setup))
        const step: Bench['step'] = (share, text) => bench.step((i + share) / starts.length, text)
        const group = await measureAmid(proxy, count, { ...bench, choice, step })
        found.push(group)
        if (group.generator !== 'node:tls') choice = [group.generator]
        await proxy.started.stop()
      }
      const [first] = found as [Group]
      return {
        groups: [{ ...first, rows: found.flatMap(({ rows }) => rows) }],
        notes: count === 10_000 || bench.quick ? [] : [`Only ${count}: \`ulimit -Hn\` allows no more.`],
      }
    }),
}

/** Measures a proxy while `count` others are connected to it. */
async function measureAmid(proxy: Proxy, count: number, { plan, choice, step }: Bench): Promise<Group> {
  const pid = proxy.started.process.pid as number
  const before = largestResident(pid)
  const crowd = gather(proxy.port, count)
  try {
    await numberFrom(crowd)
    const after = largestResident(pid)
    const groups = await compare(title, [proxy], plan, step, { choice })
    crowd.process.stdin?.write('\n')
    const left = await numberFrom(crowd)
    const group = groups.at(-1) as Group
    const figures = { 'idle MB': (after - before) / 1e6, 'idle left': left }
    return { ...group, rows: group.rows.map((row) => ({ ...row, figures })) }
  } finally {
    await crowd.stop()
  }
}

function gather(port: number, count: number): Started {
  const client = join(import.meta.dirname, '../idle-client.js')
  return startProcess(loadCore, process.execPath, [client, String(port), String(count)])
}

/** The next line that the crowd writes. */
async function numberFrom(crowd: Started): Promise<number> {
  const ended = once(crowd.process, 'close').then(() => {
    throw new Error(`the idle clients failed\n${crowd.stderr()}`)
  })
  const [text] = (await Promise.race([once(crowd.process.stdout as NodeJS.ReadableStream, 'data'), ended])) as [Buffer]
  return Number(text.toString())
}
