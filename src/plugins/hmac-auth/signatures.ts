import { type Dictionary, type InnerList, type Item, parseDictionary, serializeDictionary } from 'structured-headers'
import { getHeaderJoined, type HeaderList, removeHeader, setHeader } from '../../core/headers.ts'

/** One signature of a request, read but not verified. */
export interface Signature {
  readonly label: string
  /** The covered components, with the parameters of the signature. */
  readonly signed: InnerList
  readonly value: Buffer
}

/** The signatures of a request (RFC 9421 §4), and the fields that they stand in. */
export interface Signatures {
  readonly list: readonly Signature[]
  readonly inputs: Dictionary
  readonly values: Dictionary
}

/** Characters of each field, and signatures in it. */
const longest = 8192
const most = 4

/** `null` when there are none; in words of the log what is wrong with them. */
export function readSignatures(headers: Readonly<HeaderList>): Signatures | null | string {
  const input = getHeaderJoined(headers, 'signature-input')
  const value = getHeaderJoined(headers, 'signature')
  if (input === undefined && value === undefined) return null
  if (input === undefined || value === undefined || input.length > longest || value.length > longest)
    return 'signature_malformed'
  let inputs: Dictionary
  let values: Dictionary
  try {
    inputs = parseDictionary(input)
    values = parseDictionary(value)
  } catch {
    return 'signature_malformed'
  }
  if (inputs.size > most) return 'too_many_signatures'
  const list: Signature[] = []
  for (const [label, signed] of inputs) {
    const bytes = values.get(label)?.[0]
    if (!isInnerList(signed) || !(bytes instanceof ArrayBuffer)) return 'signature_malformed'
    list.push({ label, signed, value: Buffer.from(bytes) })
  }
  return list.length === 0 ? 'signature_malformed' : { list, inputs, values }
}

function isInnerList(member: Item | InnerList): member is InnerList {
  return Array.isArray(member[0])
}

/** Takes one signature away, and leaves those that are meant for others. */
export function removeSignature(headers: HeaderList, label: string, { list, inputs, values }: Signatures): void {
  if (list.length === 1) {
    removeHeader(headers, 'signature-input')
    removeHeader(headers, 'signature')
    return
  }
  inputs.delete(label)
  values.delete(label)
  setHeader(headers, 'signature-input', serializeDictionary(inputs))
  setHeader(headers, 'signature', serializeDictionary(values))
}
