/** autocannon in a process of its own, so that it can be pinned. A job a line in, a result a line out, as JSON. */
import { createInterface } from 'node:readline'
import autocannon from 'autocannon'
import { type LoadJob, type LoadResult, requestsOf } from './load.ts'

async function run(job: LoadJob): Promise<LoadResult> {
  const { port, connections, seconds, secure = false, upload = 0 } = job
  const body = upload === 0 ? {} : { method: 'POST' as const, body: Buffer.alloc(upload, 'x') }
  const result = await autocannon({
    url: `${secure ? 'https' : 'http'}://127.0.0.1:${port}`,
    connections,
    duration: seconds,
    requests: requestsOf(job).map(({ path, credential }) => ({
      method: 'GET' as const,
      path,
      ...body,
      headers: {
        ...(upload === 0 ? {} : { 'content-type': 'application/octet-stream' }),
        ...(credential === null ? {} : { authorization: credential }),
      },
    })),
  })
  return {
    requests: result.requests.total,
    perSecond: result.requests.total / result.duration,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failed: result.non2xx + result.errors + result.timeouts,
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(JSON.parse(line) as LoadJob)))
}
