import type { Frame, Stack } from './stack.ts'

/** What the time of a request is spent on, in the order in which a request meets it. */
export const rows = {
  accept: 'accept and parse the request',
  context: 'request context: fields, path, id, in flight',
  match: 'match the route',
  chain: 'plugin chain: joining, guarding, waiting',
  jwt: 'plugin jwt',
  limit: 'plugin rate-limiting',
  redis: 'Redis client',
  upstream: 'upstream: target, attempt, connection',
  block: 'request header block',
  write: 'socket write',
  read: 'socket read',
  parse: 'response parse',
  head: 'answer head',
  answer: 'answer write',
  metrics: 'metrics',
  log: 'access log',
  collector: 'garbage collection',
  loop: 'event loop: poll, timers, ticks',
  compiler: 'compiler and other threads',
} as const

export type Row = keyof typeof rows

/** By the start of a file's path in dist/: the first that fits. After the `#` functions of the file. */
const ownFiles: readonly (readonly [start: string, row: Row, functions?: RegExp])[] = [
  ['core/context', 'context'],
  ['core/address-set', 'context'],
  ['core/headers', 'context'],
  ['proxy/listener', 'context'],
  ['proxy/fields', 'context'],
  ['proxy/exchange', 'context'],
  ['proxy/address', 'context'],
  ['proxy/request-id', 'context'],
  ['proxy/in-flight', 'context'],
  ['proxy/gateway', 'context'],
  ['proxy/finish', 'context'],
  ['proxy/router/path', 'context'],
  ['proxy/router/authority', 'context'],
  ['proxy/router/', 'match'],
  ['proxy/handle', 'match'],
  ['proxy/chain', 'chain'],
  ['proxy/authentication', 'chain'],
  ['proxy/time-limit', 'chain'],
  ['plugins/rate-limiting/', 'limit'],
  ['services/limits/', 'limit'],
  ['services/redis', 'redis'],
  ['plugins/', 'jwt'],
  ['services/', 'jwt'],
  ['core/verification-key', 'jwt'],
  ['proxy/forward', 'upstream'],
  ['proxy/body', 'upstream'],
  ['proxy/upstream/send-buffer', 'write', /^(flush|renew|viewOf)$/],
  ['proxy/upstream/send-buffer', 'block'],
  ['proxy/upstream/request-', 'block'],
  ['proxy/upstream/gateway-fields', 'block'],
  ['proxy/upstream/response-', 'parse'],
  ['proxy/upstream/head-cache', 'parse'],
  ['proxy/upstream/parsed-head', 'parse'],
  ['proxy/upstream/chunked', 'parse'],
  ['proxy/upstream/field-name', 'parse'],
  ['proxy/upstream/', 'upstream'],
  ['proxy/respond', 'answer', /^write|^stream$|^complete$/],
  ['proxy/head', 'answer', /^write|^mustClose$|^drainUpload$/],
  ['proxy/', 'head'],
  ['telemetry/access-log', 'log'],
  ['telemetry/log-file', 'log'],
  ['telemetry/clock', 'log'],
  ['worker/access-log-files', 'log'],
  ['telemetry/', 'metrics'],
]

/** The same for what others wrote: looked at only where nothing of ours is on the stack. */
const otherFiles: readonly (readonly [part: RegExp, row: Row, functions?: RegExp])[] = [
  [/node_modules\/(ioredis|redis-parser|standard-as-callback|denque|@ioredis)/, 'redis'],
  [/node_modules\/lru-cache/, 'jwt'],
  [/node_modules\/piscina/, 'jwt'],
  // The sockets to upstreams read without a stream: what reads through one is the connection to Redis.
  [/^node:internal\/streams\/readable|^node:internal\/streams\/add-abort/, 'redis'],
  [/^node:internal\/stream_base_commons/, 'read', /^onStreamRead$/],
  [/^node:(net|internal\/stream_base_commons|internal\/streams\/)/, 'write'],
  [/^node:(fs|internal\/fs)/, 'log'],
]

const collector =
  /v8::internal::(Heap::|Scaveng|MarkCompact|MarkingVisitor|Mark|Sweep|IncrementalMarking|Minor|Major|GCTracer|GlobalHandles::(Iterate|PostGarbage|Process|UpdateList))|^Heap_/

/** Where nothing of JavaScript is on the stack: by what the kernel or the front end was asked to do. */
const nativeRows: readonly (readonly [symbol: RegExp, row: Row])[] = [
  [/sys_sendto$|^__send$/, 'answer'],
  [/sys_recvfrom$|^__recv$/, 'accept'],
  [/(ksys|sys)_write$|do_writev|sys_sendmsg$/, 'write'],
  [/(ksys|sys)_read$|do_readv|^uv__(read|stream_io)$/, 'read'],
  [/^ReadFromFile|^uv__fs_/, 'log'],
]

/** The row that a sample belongs to. `isMain`: it was taken on the thread that serves the requests. */
export function rowOf(stack: Stack, isMain: boolean): Row {
  for (const { name, file } of stack) {
    if (file !== '') break
    if (collector.test(name) || name === '(garbage collector)') return 'collector'
  }
  if (!isMain) return stack.some(({ name }) => name.startsWith('uv__fs_')) ? 'log' : 'compiler'
  const row = byFrame(stack, ownRow) ?? byFrame(stack, otherRow) ?? nativeRow(stack)
  // What the engine has inlined has no frame of its own: a write shows by what it calls.
  return (row === 'upstream' || row === 'block') && isStreamWrite(stack) ? 'write' : row
}

/** Whether the innermost function of JavaScript writes to a socket. What called that function doesn't count. */
function isStreamWrite(stack: Stack): boolean {
  for (const { file, name } of stack) {
    if (file !== '') return false
    if (/StreamBase::Write|LibuvStreamWrap|uv__?try_write|sys_write$/.test(name)) return true
  }
  return false
}

function byFrame(stack: Stack, rowOfFrame: (frame: Frame) => Row | null): Row | null {
  for (const frame of stack) {
    const row = frame.file === '' ? null : rowOfFrame(frame)
    if (row !== null) return row
  }
  return null
}

const distribution = /\/dist\/(?!.*node_modules)(.*)$/

function ownRow({ file, name }: Frame): Row | null {
  const path = file.includes('node_modules') ? undefined : distribution.exec(file)?.[1]
  if (path === undefined) return null
  const found = ownFiles.find(([start, , functions]) => path.startsWith(start) && (functions?.test(name) ?? true))
  return found?.[1] ?? null
}

function otherRow({ file, name }: Frame): Row | null {
  return otherFiles.find(([part, , functions]) => part.test(file) && (functions?.test(name) ?? true))?.[1] ?? null
}

function nativeRow(stack: Stack): Row {
  for (const { name, library } of stack) {
    const found = nativeRows.find(([symbol]) => symbol.test(name))
    if (found !== undefined) return found[1]
    if (library.includes('uws_')) return 'accept'
  }
  return 'loop'
}
