import ipaddr from 'ipaddr.js'

/** Answers kept per set: an address comes again and again, and a flood of others must not fill memory. */
const remembered = 4096

/**
 * IP addresses and CIDR blocks. A look-up costs one set look-up per prefix length in use, so a list of ten thousand
 * blocks is no slower than one of ten; a repeated one costs a Map look-up.
 *
 * IPv4-mapped IPv6 addresses (`::ffff:192.0.2.1`) are the IPv4 address, in the set and in what is asked for.
 */
export class AddressSet {
  /** By prefix length: the networks, as one character a byte. */
  readonly #v4 = new Map<number, Set<string>>()
  readonly #v6 = new Map<number, Set<string>>()
  readonly #answers = new Map<string, boolean>()
  readonly #isEmpty: boolean

  /** `blocks` must have passed `isAddressBlock`. */
  constructor(blocks: readonly string[]) {
    this.#isEmpty = blocks.length === 0
    for (const block of blocks) this.#add(block)
  }

  /** False for what is no address. */
  has(address: string): boolean {
    if (this.#isEmpty) return false
    let answer = this.#answers.get(address)
    if (answer === undefined) {
      answer = this.#find(address)
      if (this.#answers.size >= remembered) this.#answers.clear()
      this.#answers.set(address, answer)
    }
    return answer
  }

  #add(block: string): void {
    const [text = '', prefix] = block.split('/')
    const address = ipaddr.parse(text)
    const bytes = address.toByteArray()
    const length = prefix === undefined ? bytes.length * 8 : Number(prefix)
    if (bytes.length === 16 && length >= 96 && (address as ipaddr.IPv6).isIPv4MappedAddress()) {
      addNetwork(this.#v4, bytes.slice(12), length - 96)
    } else {
      addNetwork(bytes.length === 4 ? this.#v4 : this.#v6, bytes, length)
    }
  }

  #find(text: string): boolean {
    if (!isAddress(withoutZone(text))) return false
    const bytes = ipaddr.process(withoutZone(text)).toByteArray()
    for (const [length, networks] of bytes.length === 4 ? this.#v4 : this.#v6) {
      if (networks.has(networkOf(bytes, length))) return true
    }
    return false
  }
}

/** `192.0.2.1`, `2001:db8::1`, either with a prefix length. No octal or shortened IPv4: people read those differently. */
export function isAddressBlock(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/')
  if (rest.length > 0 || !isAddress(address)) return false
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (address.includes(':') ? 128 : 32))
}

/** Whether `text` is one IPv4 or IPv6 address, without a zone. */
export function isAddress(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text) || (ipaddr.IPv6.isValid(text) && !text.includes('%'))
}

function withoutZone(text: string): string {
  const zone = text.indexOf('%')
  return zone === -1 ? text : text.slice(0, zone)
}

function addNetwork(networks: Map<number, Set<string>>, bytes: readonly number[], length: number): void {
  const known = networks.get(length)
  if (known === undefined) networks.set(length, new Set([networkOf(bytes, length)]))
  else known.add(networkOf(bytes, length))
}

/** The first `length` bits, one character a byte. */
function networkOf(bytes: readonly number[], length: number): string {
  const whole = length >> 3
  let text = String.fromCharCode(...bytes.slice(0, whole))
  const rest = length & 7
  if (rest !== 0) text += String.fromCharCode((bytes[whole] as number) & (0xff00 >> rest))
  return text
}
