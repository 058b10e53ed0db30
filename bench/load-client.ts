/** One measurement with autocannon, in a process of its own so that it can be pinned. Job in, result out, as JSON. */
import autocannon from 'autocannon'
import { type LoadJob, type LoadResult, requestsOf } from './load.ts'

const job = JSON.parse(process.argv[2] as string) as LoadJob

const result = await autocannon({
  url: `http://127.0.0.1:${job.port}`,
  connections: job.connections,
  duration: job.seconds,
  requests: requestsOf(job).map(({ path, credential }) => ({
    method: 'GET' as const,
    path,
    ...(credential === null ? {} : { headers: { authorization: credential } }),
  })),
})

const counted: LoadResult = {
  requests: result.requests.total,
  perSecond: result.requests.total / result.duration,
  p50: result.latency.p50,
  p99: result.latency.p99,
  failed: result.non2xx + result.errors + result.timeouts,
}
console.log(JSON.stringify(counted))
