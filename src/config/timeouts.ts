import { z } from 'zod'
import { duration } from './units.ts'

const connect = duration().describe('Opening a connection to the upstream, waiting for a free one included.')
const response = duration().describe('From the request being sent to the head of the response.')
const bodyIdle = duration().describe('Silence in the middle of a body, in either direction.')
const plugins = duration().describe('All plugins together, before the upstream is called.')
const total = duration({ off: true }).describe('The whole exchange, from the first byte in to the last byte out.')

/** How long each phase of a request may take before it is answered with 504 (408 where the client is the slow one). */
export const timeouts = z.strictObject({
  connect: connect.prefault('5s'),
  response: response.prefault('30s'),
  body_idle: bodyIdle.prefault('30s'),
  plugins: plugins.prefault('10s'),
  total: total.prefault('off'),
})

/** The same on a route: what is not given is as at the top level. */
export const routeTimeouts = z.strictObject({
  connect: connect.optional(),
  response: response.optional(),
  body_idle: bodyIdle.optional(),
  plugins: plugins.optional(),
  total: total.optional(),
})

export type Timeouts = z.output<typeof timeouts>
