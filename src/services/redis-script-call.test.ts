import fc from 'fast-check'
import { Command } from 'ioredis'
import { expect, test } from 'vitest'
import { ScriptCall } from './redis-script-call.ts'

test('goes out as the client itself would write it', () => {
  const argument = fc.oneof(
    fc.string(),
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  )
  fc.assert(
    fc.property(fc.array(argument), (rest) => {
      const own = new ScriptCall('evalsha', 'digest', rest, null).toWritable({})
      const usual = new Command('evalsha', ['digest', ...rest], { replyEncoding: null }).toWritable({})
      expect(Buffer.from(own as string)).toEqual(Buffer.from(usual as string))
    }),
  )
})
