import { z } from 'zod'
import { hopByHopHeaders, isFieldValue, isToken } from '../../core/headers.ts'
import { headerNameFault, pair } from '../header-edit.ts'

/** Fields that the gateway writes itself when the answer goes out. */
const ownFields: ReadonlySet<string> = new Set([...hopByHopHeaders, 'content-length', 'date', 'x-request-id'])

const header = pair((name, value) => {
  const fault = headerNameFault(name, ownFields)
  return fault ?? (isFieldValue(value) ? null : 'must not hold control characters')
})

const renamed = pair((name, to) => {
  const fault = headerNameFault(name, ownFields)
  if (fault !== null) return fault
  if (!isToken(to)) return 'must end with the name of a header field'
  return ownFields.has(to.toLowerCase()) ? `must not touch "${to}": the gateway sets that itself` : null
})

const removed = z.string().superRefine((name, context) => {
  const fault = headerNameFault(name, ownFields)
  if (fault !== null) context.addIssue(fault)
})

const statusRange = z
  .string()
  .regex(/^[1-5]\d\d(-[1-5]\d\d)?$/, 'must be a status such as "404" or a range such as "500-599"')

const headers = (entry: typeof header, what: string) =>
  z.strictObject({ headers: z.array(entry).default([]).describe(what) }).prefault({})

export const schema = z.strictObject({
  remove: headers(removed, 'Headers to take away.').describe('First, headers are taken away.'),
  rename: headers(renamed, 'Headers to rename: `old:new`.').describe('Then headers are renamed.'),
  replace: headers(header, 'Headers to write anew, where the answer has them: `name:value`.').describe(
    'Then those that are there get new values.',
  ),
  set: headers(header, 'Headers to write, whether the answer has them or not: `name:value`.').describe(
    'Then headers are set.',
  ),
  add: headers(header, 'Headers to write where the answer has none of the name: `name:value`.').describe(
    'Then what is missing is added.',
  ),
  append: headers(header, 'Headers to write besides those that are there: `name:value`.').describe(
    'Last, further values are appended.',
  ),
  if_status: z
    .array(z.union([statusRange, z.int().min(100).max(599).transform(String)]))
    .default([])
    .describe('Statuses to do all this for: `404`, `"500-599"`. Empty: all.'),
})

export type Config = z.output<typeof schema>
