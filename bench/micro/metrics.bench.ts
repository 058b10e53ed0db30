import { build } from 'hdr-histogram-js'
import { DurationHistogram } from '../../src/telemetry/histogram.ts'
import { WorkerMetrics } from '../../src/telemetry/metrics.ts'

const metrics = new WorkerMetrics()
metrics.close()
const route = metrics.routeMetrics('users', 'backend')
const histogram = new DurationHistogram()
const theirs = build({
  bitBucketSize: 64,
  autoResize: true,
  lowestDiscernibleValue: 1,
  highestTrackableValue: 131_071,
  numberOfSignificantValueDigits: 2,
})

let seed = 1

/** 0.3 to 1.3 ms, another one each time. */
function duration(): number {
  seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
  return 0.3 + (seed & 1023) / 1024
}

export const suite = {
  name: 'metrics',
  cases: {
    'a request': () => route.record(200, duration(), 0.25, 0, 110, ''),
    'a failed request': () => route.record(502, duration(), 0.25, 0, 110, 'upstream_connection_refused'),
    'a duration': () => histogram.record(duration()),
    'a duration with hdr-histogram-js': () => theirs.recordValue(Math.round(duration() * 1000)),
  },
}
