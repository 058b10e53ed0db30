/** Texts kept: the peers of a gateway are few (load balancers), so this hardly ever fills. */
const remembered = 1024

const texts = new Map<number, string>()

/**
 * The text of a binary address as the front end reports it: 4 bytes IPv4, 16 bytes IPv6. IPv4-mapped IPv6 addresses
 * (`::ffff:192.0.2.1`) come out as IPv4, so that one client has one name.
 */
export function addressText(bytes: ArrayBuffer): string {
  if (bytes.byteLength === 4) return ipv4Text(new DataView(bytes).getUint32(0))
  if (bytes.byteLength !== 16) return ''
  const view = new DataView(bytes)
  if (view.getUint32(0) === 0 && view.getUint32(4) === 0 && view.getUint32(8) === 0xffff)
    return ipv4Text(view.getUint32(12))
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push(view.getUint16(i).toString(16))
  return compressed(groups)
}

function ipv4Text(address: number): string {
  let text = texts.get(address)
  if (text === undefined) {
    if (texts.size >= remembered) texts.clear()
    text = `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
    texts.set(address, text)
  }
  return text
}

/** RFC 5952 §4.2: the longest run of two or more zero groups becomes `::`. */
function compressed(groups: readonly string[]): string {
  let best = -1
  let length = 1
  for (let i = 0; i < groups.length; ) {
    let end = i
    while (end < groups.length && groups[end] === '0') end++
    if (end - i > length) {
      best = i
      length = end - i
    }
    i = Math.max(end, i + 1)
  }
  if (best === -1) return groups.join(':')
  return `${groups.slice(0, best).join(':')}::${groups.slice(best + length).join(':')}`
}
