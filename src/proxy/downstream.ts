/**
 * What the proxy needs of a response to the client. The native front end's response object has this shape; only the
 * listener knows where it comes from.
 *
 * Every method but `cork` may only be called until the answer is complete or the client is gone.
 */
export interface Downstream {
  /** Text behind `HTTP/1.1 `; may hold further header lines joined by CRLF. Once per answer. */
  writeStatus(status: string | Uint8Array): unknown
  writeHeader(name: string | Uint8Array, value: string | Uint8Array): unknown
  /** Sends a chunk of a body of unknown length. False: it was buffered, wait for `onWritable`. */
  write(chunk: string | Uint8Array): boolean
  end(body?: string | Uint8Array, closeConnection?: boolean): unknown
  endWithoutBody(reportedContentLength?: number, closeConnection?: boolean): unknown
  /** Sends part of a body of known length: `[all of it went out, the answer is complete]`. */
  tryEnd(chunk: string | Uint8Array, totalSize: number): [boolean, boolean]
  getWriteOffset(): number
  onWritable(callback: (offset: number) => boolean): unknown
  onAborted(callback: () => void): unknown
  onData(callback: (chunk: ArrayBuffer, isLast: boolean) => void): unknown
  pause(): unknown
  resume(): unknown
  close(): unknown
  cork(callback: () => void): unknown
}
