import { z } from 'zod'
import { hopByHopHeaders, isToken } from '../../core/headers.ts'
import { headerValue } from '../fields.ts'

const ownFields: ReadonlySet<string> = new Set([
  ...hopByHopHeaders,
  'content-length',
  'content-type',
  'date',
  'x-request-id',
])

const headerName = z.string().superRefine((name, context) => {
  if (!isToken(name)) context.addIssue('must be the name of a header field')
  else if (name.toLowerCase() === 'content-type') context.addIssue('must be given as "content_type"')
  else if (ownFields.has(name.toLowerCase())) context.addIssue('must not be a header that the gateway sets itself')
})

/** Statuses whose answers have no body (RFC 9110 §15.3.5, §15.3.6, §15.4.5). */
export const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

export const schema = z
  .strictObject({
    status_code: z.int().min(200).max(599).default(503).describe('Status of the answer.'),
    message: z.string().optional().describe('Answers with `{"message": …}`; default: the name of the status.'),
    body: z.string().optional().describe('Answers with this body, in place of a message.'),
    content_type: headerValue
      .min(1)
      .optional()
      .describe('Content type of `body`; default: `application/json; charset=utf-8`.'),
    headers: z.record(headerName, headerValue).default({}).describe('Further headers of the answer.'),
    trigger: z
      .string()
      .min(1)
      .optional()
      .describe('Answers only requests that have a header or query parameter of this name; others go on.'),
  })
  .superRefine(({ status_code, message, body, content_type }, context) => {
    const fault = (key: string, text: string) => context.addIssue({ code: 'custom', path: [key], message: text })
    if (message !== undefined && body !== undefined) fault('message', 'must not stand beside "body"')
    if (content_type !== undefined && body === undefined) fault('content_type', 'must not stand without "body"')
    if (!bodiless.has(status_code)) return
    if (message !== undefined) fault('message', `must not be given: an answer with status ${status_code} has no body`)
    if (body !== undefined) fault('body', `must not be given: an answer with status ${status_code} has no body`)
  })

export type Config = z.output<typeof schema>
