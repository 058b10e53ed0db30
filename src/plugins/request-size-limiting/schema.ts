import { z } from 'zod'
import { parseSize } from '../../core/units.ts'

const sizeWords = 'must be a size such as 512kb or 10mb, or a number counted in size_unit'
const bytesPer = { bytes: 1, kilobytes: 1024, megabytes: 1024 ** 2 } as const

const mediaRange = z
  .string()
  .regex(
    /^[\w!#$&^.+*-]+\/[\w!#$&^.+*-]+$/,
    'must be a media type such as application/json, image/* or application/*+json',
  )
  .transform((type) => type.toLowerCase())

export const schema = z
  .strictObject({
    allowed_payload_size: z
      .union([z.string(), z.number()], { error: sizeWords })
      .default(128)
      .describe('Most bytes that a request body may have: `512kb`, `10mb`, or a number counted in `size_unit`.'),
    size_unit: z
      .enum(['megabytes', 'kilobytes', 'bytes'])
      .default('megabytes')
      .describe('What a bare number counts. Units are powers of 1024.'),
    require_content_length: z
      .boolean()
      .default(false)
      .describe('Whether a body must say its length beforehand (411): none is then received in vain.'),
    allowed_content_types: z
      .array(mediaRange)
      .default([])
      .describe('Content types that a body may have (415): `application/json`, `image/*`. Empty: all.'),
  })
  .superRefine((config, context) => {
    if (!(payloadSize(config) >= 1))
      context.addIssue({ code: 'custom', path: ['allowed_payload_size'], message: sizeWords })
  })

export type Config = z.output<typeof schema>

/** Bytes; `NaN` when it is no size. */
export function payloadSize({
  allowed_payload_size: size,
  size_unit,
}: Pick<Config, 'allowed_payload_size' | 'size_unit'>): number {
  if (typeof size === 'number') return Math.floor(size * bytesPer[size_unit])
  // Text of digits alone would be bytes elsewhere and megabytes here: nobody could tell.
  return /\d$/.test(size) ? Number.NaN : (parseSize(size) ?? Number.NaN)
}
