import type { LimitAlgorithm } from '../../../core/services/limits.ts'
import { Bucket } from './bucket.ts'
import { Concurrency } from './concurrency.ts'
import type { Counter } from './counter.ts'
import { FixedWindow } from './fixed-window.ts'
import { SlidingLog } from './sliding-log.ts'
import { SlidingWindow } from './sliding-window.ts'

export function newCounter(algorithm: LimitAlgorithm): Counter {
  switch (algorithm) {
    case 'fixed_window':
      return new FixedWindow()
    case 'sliding_window':
      return new SlidingWindow()
    case 'sliding_log':
      return new SlidingLog()
    case 'token_bucket':
    case 'leaky_bucket':
      return new Bucket(algorithm)
    case 'concurrency':
      return new Concurrency()
  }
}
