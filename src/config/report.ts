import type { ConfigDocument } from './document.ts'
import { type Fault, formatPath, type Path } from './fault.ts'
import type { Finding } from './issue.ts'

/** Collects what checks find, each at its place in the file. */
export class Report {
  readonly document: ConfigDocument
  readonly faults: Fault[]
  readonly warnings: Fault[] = []
  /** Absolute paths of files that the configuration depends on, the readable and the missing. */
  readonly files: Set<string>

  constructor(document: ConfigDocument) {
    this.document = document
    this.faults = [...document.faults]
    this.files = new Set(document.files)
  }

  fault(path: Path, message: string): void {
    if (!this.#isBroken(path)) this.faults.push(this.document.fault(path, message))
  }

  /** `finding` is about the value at `place`. */
  finding(place: Path, { path, key, message }: Finding): void {
    const whole = [...place, ...path]
    if (key === null) this.fault(whole, message)
    else this.faults.push(this.document.faultAtKey(whole, key, message))
  }

  warn(path: Path, message: string): void {
    this.warnings.push(this.document.fault(path, message))
  }

  /** What follows from a reference that leads nowhere is not worth a line of its own. */
  #isBroken(path: Path): boolean {
    return this.document.broken.size > 0 && this.document.broken.has(formatPath(path))
  }
}
