import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Config } from '../config/schema.ts'
import { Addresses, claimAddresses } from './claim.ts'

let server: Server
let port: number

beforeEach(async () => {
  server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})

afterEach(() => new Promise((resolve) => server.close(resolve)))

/** Only what matters here. */
function config(listeners: [string, number][], admin: [string, number] | null = null): Config {
  const address = ([host, number]: [string, number]) => ({ host, port: number, address: `${host}:${number}` })
  return { listeners: listeners.map(address), admin: admin === null ? null : address(admin) } as unknown as Config
}

test('says in one line that an address is taken', async () => {
  expect(await claimAddresses([{ host: '127.0.0.1', port }])).toEqual({
    faults: [`127.0.0.1:${port} is already in use`],
  })
})

test('sees that every address of the port is taken by one', async () => {
  expect(await claimAddresses([{ host: '0.0.0.0', port }])).toEqual({ faults: [`0.0.0.0:${port} is already in use`] })
})

test('reports every fault, foreign addresses too', async () => {
  const claim = await claimAddresses([
    { host: '127.0.0.1', port },
    { host: '192.0.2.1', port: 8080 },
  ])
  expect(claim).toEqual({
    faults: [`127.0.0.1:${port} is already in use`, '192.0.2.1:8080 is not an address of this machine'],
  })
})

test('does not probe what is held, nor what overlaps it', async () => {
  const held = [{ host: '127.0.0.1', port }]
  expect(await claimAddresses([{ host: '127.0.0.1', port }], held)).toEqual({ ports: [port] })
  expect(await claimAddresses([{ host: '0.0.0.0', port }], held)).toEqual({ ports: [port] })
})

test('picks ports that are free and differ', async () => {
  const claim = await claimAddresses([
    { host: '127.0.0.1', port: 0 },
    { host: '127.0.0.1', port: 0 },
  ])
  if ('faults' in claim) throw new Error(claim.faults.join())
  expect(new Set(claim.ports).size).toBe(2)
  expect(claim.ports).not.toContain(0)
})

test('fills in the picked ports, and keeps them over reloads', async () => {
  const addresses = new Addresses()
  const first = await addresses.place(config([['127.0.0.1', 0]], ['127.0.0.1', 0]))
  if ('faults' in first) throw new Error(first.faults.join())
  first.keep()
  const [listener] = first.config.listeners
  expect(listener?.port).not.toBe(0)
  expect(listener?.address).toBe(`127.0.0.1:${listener?.port}`)
  expect(first.config.admin?.port).not.toBe(listener?.port)

  const second = await addresses.place(
    config(
      [
        ['127.0.0.1', 0],
        ['127.0.0.1', 0],
      ],
      ['127.0.0.1', 0],
    ),
  )
  if ('faults' in second) throw new Error(second.faults.join())
  expect(second.config.listeners[0]).toEqual(listener)
  expect(second.config.admin).toEqual(first.config.admin)
  expect(second.config.listeners[1]?.port).not.toBe(listener?.port)
})

test('a rejected placement is not held', async () => {
  const addresses = new Addresses()
  const first = await addresses.place(config([['127.0.0.1', 0]]))
  if ('faults' in first) throw new Error(first.faults.join())
  expect(await addresses.place(config([['127.0.0.1', port]]))).toEqual({
    faults: [`127.0.0.1:${port} is already in use`],
  })
})
