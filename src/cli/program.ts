import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { isKeyId, isKeyPrefix, parseExpiry } from '../core/api-key.ts'
import { packageVersion } from '../primary/version.ts'
import { check } from './check.ts'
import { explain } from './explain.ts'
import { type HashKeyOptions, hashKey } from './hash-key.ts'
import { type Input, processInput } from './input.ts'
import type { Output } from './output.ts'
import { plugins } from './plugins.ts'
import { routes } from './routes.ts'
import { schema } from './schema.ts'
import { start } from './start.ts'

export { processOutput } from './output.ts'

const badUsage = 2

/** Runs one command; resolves with the exit code: 0 well, 1 a fault, 2 bad usage. */
export async function runCommand(
  args: readonly string[],
  output: Output,
  input: Input = processInput,
): Promise<number> {
  let code = 0
  const program = describe(output, input, (result) => (code = result))
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version come as errors, too.
    return error.exitCode === 0 ? 0 : badUsage
  }
}

function describe(output: Output, input: Input, done: (code: number) => void): Command {
  const program = new Command('sluice')
    .description('API gateway')
    .version(packageVersion)
    .showHelpAfterError('(sluice --help tells more)')
    .configureOutput({
      writeOut: (text) => output.out(text),
      writeErr: (text) => output.err(text),
      getOutHasColors: () => output.color,
      getErrHasColors: () => output.color,
    })
    .exitOverride()

  program
    .command('start')
    .description('run the gateway in the foreground')
    .addOption(configOption())
    .addOption(
      new Option('--workers <number>', 'worker processes, instead of what the file says').argParser(workerCount),
    )
    .action(async ({ config, workers }: { config: string; workers?: number }) =>
      done(await start(config, workers, output)),
    )

  program
    .command('check')
    .description('validate the configuration')
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => done(await check(config, output)))

  program
    .command('explain')
    .description('say which route a request takes and why, and what becomes of it')
    .argument('<url>', 'URL, or path, of the request')
    .addOption(configOption())
    .option('-X, --request <method>', 'method', 'GET')
    .option('-H, --header <field>', 'header field, "Name: value"; may be repeated', addTo, [] as string[])
    .option('--client-ip <address>', 'address that the request comes from', '127.0.0.1')
    .option('--json', 'for machines', false)
    .action(
      async (
        url: string,
        { config, ...options }: { config: string; request: string; header: string[]; clientIp: string; json: boolean },
      ) => done(await explain(config, url, options, output)),
    )

  program
    .command('routes')
    .description('list the routes in the order in which they are tried')
    .addOption(configOption())
    .option('--json', 'for machines', false)
    .action(async ({ config, json }: { config: string; json: boolean }) => done(await routes(config, json, output)))

  program
    .command('plugins')
    .description('list the plugins in the order in which a request meets them')
    .option('-c, --config <file>', 'show the modules that this file uses, too')
    .option('--json', 'for machines', false)
    .action(async ({ config, json }: { config?: string; json: boolean }) => done(await plugins(config, json, output)))

  program
    .command('schema')
    .description("print the configuration's JSON Schema, for editors")
    .action(() => done(schema(output)))

  program
    .command('hash-key')
    .description('make an API key, or hash one or a password: the gateway keeps nothing else of it')
    .option('--stdin', 'hash a key that is there already, read from standard input', false)
    .addOption(new Option('--password', 'hash a password, for basic-auth').default(false).conflicts(keyOptions))
    .addOption(new Option('--prefix <text>', 'what a new key begins with').default('sk_live').argParser(keyPrefix))
    .addOption(new Option('--id <id>', 'id of the key, which is no secret; else a random one').argParser(keyId))
    .option('--consumer <id>', 'whose it is')
    .option('--tier <name>', 'class of service of the key')
    .addOption(new Option('--scopes <list>', 'what it may be used for, with spaces between').argParser(listOfWords))
    .addOption(
      new Option('--expires <time>', 'when it ends: 2027-01-31, or with the time of day and zone').argParser(expiry),
    )
    .option('--salt-file <file>', 'the "salt" of key-auth, for keys that were not made here')
    .option('--redis-prefix <text>', 'the "key_prefix" of Redis', 'sluice:')
    .addOption(new Option('--username <name>', 'user of the password').implies({ password: true }))
    .option('--json', 'for machines', false)
    .action(async (options: HashKeyOptions) => done(await hashKey(options, input, output)))

  return program
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').default('sluice.yaml')
}

/** Options of `hash-key` that mean nothing for passwords. */
const keyOptions = ['stdin', 'id', 'tier', 'scopes', 'expires', 'saltFile']

function keyPrefix(text: string): string {
  if (isKeyPrefix(text)) return text
  throw new InvalidArgumentError('It must be words of a-z and 0-9 with _ between, such as sk_live.')
}

function keyId(text: string): string {
  if (isKeyId(text)) return text
  throw new InvalidArgumentError('It must be letters, digits and hyphens, at most 64.')
}

function expiry(text: string): number {
  const time = parseExpiry(text)
  if (time !== null) return time
  throw new InvalidArgumentError('It must be a day, or a time with its zone: 2027-01-31T12:00:00Z.')
}

function listOfWords(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '')
}

function workerCount(text: string): number {
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > 1024)
    throw new InvalidArgumentError('It must be a number from 1 to 1024.')
  return number
}

function addTo(value: string, list: string[]): string[] {
  return [...list, value]
}
