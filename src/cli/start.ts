import { type Output, styled } from './output.ts'

/** Runs the gateway in the foreground until it is told to stop. */
export async function start(configFile: string, workers: number | undefined, output: Output): Promise<number> {
  try {
    // Loaded here: no other command needs the supervising process.
    const { startPrimary } = await import('../primary/primary.ts')
    return await startPrimary({ configFile, workers, terminal: output.terminal })
  } catch (error) {
    output.err(`${styled(output, 'red', 'sluice:')} ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}
