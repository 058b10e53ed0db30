/** One function of a stack. */
export interface Frame {
  /** Name of the function, or symbol. */
  readonly name: string
  /** For JavaScript the file that it stands in, else `''`. */
  readonly file: string
  /** For native code the library that it stands in, `kernel` for the kernel; for JavaScript `''`. */
  readonly library: string
}

/** The innermost function first. */
export type Stack = readonly Frame[]
