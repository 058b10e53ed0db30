import type { Answer } from './answer.ts'
import { echoOf } from './echo.ts'
import type { Kind, Versions } from './job.ts'
import type { Outcome } from './tally.ts'

/** A request that was sent. */
export interface Sent {
  readonly number: number
  /** The oldest configuration that it could meet. */
  readonly oldest: number
  /** Whose credential it carried. */
  readonly caller: string
}

/** Whether an answer is one that this request may get. */
export function judgeAnswer(kind: Kind, sent: Sent, answer: Answer, { newest }: Versions): Outcome {
  const { status, version } = answer
  if (version !== 0 && (version < sent.oldest || version > newest)) return 'wrong'
  if (kind.refusable && (status === 429 || status === 503)) return 'refused'
  if (kind.evenOnly && sent.oldest === newest) return judgeRoute(kind, sent, answer, newest)
  if (!isExpected(kind, status)) return 'failed'
  return isOwn(kind, sent, answer) ? 'served' : 'wrong'
}

/** No reload was under way: whether the route is there is certain. */
function judgeRoute(kind: Kind, sent: Sent, answer: Answer, version: number): Outcome {
  const wanted = version % 2 === 0 ? 200 : 404
  if (!isExpected(kind, answer.status)) return 'failed'
  return answer.status === wanted && isOwn(kind, sent, answer) ? 'served' : 'wrong'
}

function isExpected({ expects }: Kind, status: number): boolean {
  return expects.length === 0 ? status < 400 : expects.includes(status)
}

function isOwn({ echoed }: Kind, { number, caller }: Sent, { status, body }: Answer): boolean {
  return !echoed || status >= 300 || body === echoOf(String(number), caller)
}
