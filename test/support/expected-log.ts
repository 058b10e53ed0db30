import { expect } from 'vitest'
import type { RunningGateway } from './gateway.ts'

/**
 * What the access log (on stdout) must say of requests, by their path. It is written five times a second: everything
 * is looked for together, after the last test, instead of waiting in each.
 */
export class ExpectedLog {
  readonly #expected: { readonly path: string; readonly fields: Readonly<Record<string, unknown>> }[] = []

  expect(path: string, fields: Readonly<Record<string, unknown>>): void {
    this.#expected.push({ path, fields })
  }

  async verify(gateway: RunningGateway): Promise<void> {
    for (const { path, fields } of this.#expected) {
      const line = await gateway.waitFor(`the access log line of ${path}`, () =>
        gateway.accessLog().find((one) => one['path'] === path),
      )
      expect(line).toMatchObject({ path, ...fields })
    }
  }
}
