import { Command } from 'ioredis'
import type { RedisArgument } from './redis.ts'

/**
 * A call of a script that writes itself as one text. The client's own way asks for the length of each argument by a native
 * call, which for the keys of a whole tick is a good part of what it costs to send them (native-notes/costs.md).
 */
export class ScriptCall extends Command {
  /** `script`: its digest or its source; `encoding` of strings in the reply, `null`: bytes. */
  constructor(command: string, script: string, rest: readonly RedisArgument[], encoding: 'utf8' | null) {
    super(command, [script, ...rest], { replyEncoding: encoding })
  }

  override toWritable(socket: object): string | Buffer {
    const { args } = this
    let text = `*${args.length + 1}\r\n$${this.name.length}\r\n${this.name}\r\n`
    for (let i = 0; i < args.length; i++) {
      const argument = args[i] as unknown
      if (typeof argument !== 'string') return super.toWritable(socket)
      text += '$' + argument.length + '\r\n' + argument + '\r\n'
    }
    // Lengths are counted in bytes.
    return Buffer.byteLength(text) === text.length ? text : super.toWritable(socket)
  }
}
