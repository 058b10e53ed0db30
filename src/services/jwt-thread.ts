/** What a thread of the verification pool runs. */
import { constants, setPriority } from 'node:os'
import { verifyBatch } from './jwt-batch.ts'

// When cores are short, requests whose tokens are known go first: bench/flood.ts. On Linux 0 means this thread; elsewhere it
// would be the whole process.
if (process.platform === 'linux') {
  try {
    setPriority(0, constants.priority.PRIORITY_LOW)
  } catch {
    // A sandbox may forbid it: then it runs like all others.
  }
}

export default verifyBatch
