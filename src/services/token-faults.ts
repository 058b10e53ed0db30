import { TokenFault } from '../core/services/tokens.ts'

const invalid = (reason: string): TokenFault => Object.freeze(new TokenFault('invalid', reason))

/** Everything that can be wrong with a token, made once: a flood of bad tokens allocates no faults. */
export const tokenFaults = {
  /** Not three parts of base64url, or not JSON objects. */
  malformed: invalid('malformed'),
  tooLarge: invalid('too_large'),
  duplicateMember: invalid('duplicate_member'),
  /** Members of the header that RFC 7515 wants understood or refused: `crit`, and `b64` of RFC 7797. */
  extensionNotSupported: invalid('extension_not_supported'),
  typeNotAllowed: invalid('type_not_allowed'),
  /** A registered claim is not of the type that RFC 7519 gives it. */
  claimMalformed: invalid('claim_malformed'),
  issuerUnknown: invalid('issuer_unknown'),
  algorithmNotAllowed: invalid('algorithm_not_allowed'),
  audienceMismatch: invalid('audience_mismatch'),
  expired: invalid('expired'),
  notYetValid: invalid('not_yet_valid'),
  issuedInFuture: invalid('issued_in_future'),
  tooOld: invalid('too_old'),
  missing: { exp: invalid('exp_missing'), nbf: invalid('nbf_missing'), iat: invalid('iat_missing') },
  keyUnknown: invalid('key_unknown'),
  signatureInvalid: invalid('signature_invalid'),
  /** What the caller's own check said can't be told: it threw. */
  acceptFailed: invalid('accept_failed'),
  keysUnavailable: Object.freeze(new TokenFault('unavailable', 'keys_unavailable')),
  poolUnavailable: Object.freeze(new TokenFault('unavailable', 'verification_unavailable')),
  overloaded: Object.freeze(new TokenFault('overloaded', 'verification_overloaded')),
} as const
