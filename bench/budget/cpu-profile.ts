import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Frame, Stack } from './stack.ts'

/** Microseconds between two samples. */
const interval = 250

/** Flags of a process that writes a profile of each of its threads into `folder` when it ends. Forked ones inherit them. */
export function profileFlags(folder: string): readonly string[] {
  return ['--cpu-prof', `--cpu-prof-interval=${interval}`, `--cpu-prof-dir=${folder}`]
}

interface Node {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

interface Profile {
  readonly nodes: readonly Node[]
  /** Microseconds of the monotonic clock. */
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** A span of the monotonic clock, in microseconds. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** Now, as profiles tell the time. */
export function profileClock(): number {
  return Number(process.hrtime.bigint() / 1000n)
}

/**
 * Calls `take` with each stack of the main thread of process `pid` within the spans, and the nanoseconds that it stands for.
 * The engine knows of JavaScript and what that calls; whatever the event loop does by itself it takes for idle.
 */
export function readProfile(
  folder: string,
  pid: number,
  spans: readonly Span[],
  take: (stack: Stack, nanoseconds: number) => void,
): void {
  const name = readdirSync(folder).find((file) => file.includes(`.${pid}.0.`) && file.endsWith('.cpuprofile'))
  if (name === undefined) throw new Error(`the worker left no profile in ${folder}`)
  const profile = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile
  const stacks = stacksOf(profile.nodes)
  let at = profile.startTime
  for (const [i, id] of profile.samples.entries()) {
    at += profile.timeDeltas[i] as number
    const stack = stacks.get(id) as Stack
    const isIdle = stack.length === 1 && /^\((idle|program|root)\)$/.test((stack[0] as Frame).name)
    // A sample says what was done from then on.
    const lasted = profile.timeDeltas[i + 1] ?? 0
    if (!isIdle && spans.some(({ from, to }) => at >= from && at < to)) take(stack, lasted * 1000)
  }
}

function stacksOf(nodes: readonly Node[]): Map<number, Stack> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const stacks = new Map<number, Stack>()
  const walk = (node: Node, callers: Stack): void => {
    const { functionName: name, url: file } = node.callFrame
    const stack = name === '(root)' ? callers : [{ name, file, library: '' }, ...callers]
    stacks.set(node.id, stack)
    for (const id of node.children ?? []) walk(byId.get(id) as Node, stack)
  }
  const [root] = nodes
  if (root !== undefined) walk(root, [])
  return stacks
}
