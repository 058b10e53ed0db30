import { configJsonSchema } from '../config/json-schema.ts'
import type { Output } from './output.ts'

/** The configuration's JSON Schema, for editors. */
export function schema(output: Output): number {
  output.out(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
  return 0
}
