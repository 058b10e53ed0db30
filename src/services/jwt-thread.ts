/** What a thread of the verification pool runs. */
import { getPriority, setPriority } from 'node:os'
import { verifyBatch } from './jwt-batch.ts'

// When cores are short, requests whose tokens are known go first. On Linux 0 means this thread; elsewhere it would be
// the whole process.
if (process.platform === 'linux') {
  try {
    setPriority(0, Math.min(19, getPriority(0) + 10))
  } catch {
    // A sandbox may forbid it: then it runs like all others.
  }
}

export default verifyBatch
