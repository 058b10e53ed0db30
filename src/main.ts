#!/usr/bin/env node
// The same file runs the command and, forked by the primary, a worker. Each loads only what its role needs.
if (process.env['SLUICE_WORKER'] !== undefined) {
  const { runWorker } = await import('./worker/worker.ts')
  runWorker()
} else {
  const { runCommand, processOutput } = await import('./cli/program.ts')
  process.exitCode = await runCommand(process.argv.slice(2), processOutput())
}
