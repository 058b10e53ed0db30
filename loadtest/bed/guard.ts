/**
 * Sees to it that nothing outlives the load test, not even when that is killed outright: knows the process groups and folders
 * that were started, and ends them when the connection to the load test does.
 */
import { rmSync } from 'node:fs'

export type ToGuard = { readonly group: number; readonly gone?: boolean } | { readonly folder: string }

const groups = new Set<number>()
const folders = new Set<string>()

process.on('message', (message: ToGuard) => {
  if ('folder' in message) folders.add(message.folder)
  else if (message.gone === true) groups.delete(message.group)
  else groups.add(message.group)
})
process.once('disconnect', () => {
  for (const group of groups) {
    try {
      process.kill(-group, 'SIGKILL')
    } catch {
      // It is gone already.
    }
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  process.exit()
})
