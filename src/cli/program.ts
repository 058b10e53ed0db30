import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { packageVersion } from '../primary/version.ts'
import { check } from './check.ts'
import { explain } from './explain.ts'
import type { Output } from './output.ts'
import { plugins } from './plugins.ts'
import { routes } from './routes.ts'
import { schema } from './schema.ts'
import { start } from './start.ts'

export { processOutput } from './output.ts'

const badUsage = 2

/** Runs one command; resolves with the exit code: 0 well, 1 a fault, 2 bad usage. */
export async function runCommand(args: readonly string[], output: Output): Promise<number> {
  let code = 0
  const program = describe(output, (result) => (code = result))
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help and version come as errors, too.
    return error.exitCode === 0 ? 0 : badUsage
  }
}

function describe(output: Output, done: (code: number) => void): Command {
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

  return program
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'configuration file').default('sluice.yaml')
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
