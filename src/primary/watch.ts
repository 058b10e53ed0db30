import { type FSWatcher, realpathSync, statSync, watch } from 'node:fs'
import { dirname } from 'node:path'

export interface Watch {
  /** Watches these files from now on. */
  follow(files: readonly string[]): void
  close(): void
}

export interface WatchSettings {
  /** Milliseconds between an event and the look at the files, and again until they hold still. */
  readonly quiet?: number
  /** Milliseconds between looks when no event comes: network file systems send none. */
  readonly interval?: number
}

/**
 * Calls `onChange` when one of the files has changed.
 *
 * The folders are watched and not the files: an editor that replaces a file by renaming, and Kubernetes that swaps
 * a symbolic link (`..data`) above it, both leave a watch on the file itself behind with the old one. An event is
 * only a reason to look: what counts is whether a file's identity, size or time differs from before.
 */
export function watchFiles(
  files: readonly string[],
  onChange: () => void,
  { quiet = 150, interval = 10_000 }: WatchSettings = {},
): Watch {
  /** What each file was when `onChange` was called last, and what it was at the last look. */
  let told = new Map<string, string>()
  let seen = told
  let watchers: FSWatcher[] = []
  let pending: NodeJS.Timeout | undefined
  const poll = setInterval(look, interval).unref()

  function follow(wanted: readonly string[]): void {
    // What is known of a file stays: it may have changed since, and then that is still to be told.
    told = new Map(wanted.map((file) => [file, told.get(file) ?? identify(file)]))
    seen = told
    arm()
    look()
  }

  function arm(): void {
    for (const watcher of watchers) watcher.close()
    watchers = []
    for (const folder of foldersOf(told.keys())) {
      try {
        const watcher = watch(folder, { persistent: false }, lookSoon)
        // A folder that vanishes ends its watch; the poll finds out what became of the files.
        watcher.on('error', () => watcher.close())
        watchers.push(watcher)
      } catch {
        // No such folder, or no watches left: the poll remains.
      }
    }
  }

  function lookSoon(): void {
    pending ??= setTimeout(look, quiet)
  }

  function look(): void {
    clearTimeout(pending)
    pending = undefined
    const now = new Map([...told.keys()].map((file) => [file, identify(file)]))
    const changed = !same(now, told)
    const settled = same(now, seen)
    seen = now
    if (!changed) return
    // Somebody may be in the middle of writing: wait until two looks see the same.
    if (!settled) return lookSoon()
    told = now
    arm()
    onChange()
  }

  follow(files)
  return {
    follow,
    close() {
      clearInterval(poll)
      clearTimeout(pending)
      for (const watcher of watchers) watcher.close()
    },
  }
}

/** Where a file is named, and where it lies when links lead elsewhere. */
function foldersOf(files: Iterable<string>): Set<string> {
  const folders = new Set<string>()
  for (const file of files) {
    folders.add(dirname(file))
    const real = realpath(file)
    if (real !== null) folders.add(dirname(real))
  }
  return folders
}

function identify(file: string): string {
  const real = realpath(file)
  const stat = real === null ? undefined : statSync(real, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? 'absent' : `${real} ${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs}`
}

function same(one: ReadonlyMap<string, string>, other: ReadonlyMap<string, string>): boolean {
  for (const [file, identity] of one) if (other.get(file) !== identity) return false
  return one.size === other.size
}

function realpath(file: string): string | null {
  try {
    return realpathSync(file)
  } catch {
    return null
  }
}
