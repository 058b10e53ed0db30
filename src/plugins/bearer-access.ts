import type { AccessContext } from '../core/context.ts'
import type { Deps, Verdict } from '../core/plugin.ts'
import { TokenFault } from '../core/services/tokens.ts'
import type { Refusals } from './bearer-refusals.ts'
import type { Identify } from './claimed-identity.ts'
import type { CredentialReader } from './credential.ts'
import { injectIdentity } from './identity.ts'
import type { KnownToken } from './known-token.ts'

/** Lets a request in by what is known of its token, or refuses it. */
export type Judge = (ctx: AccessContext, token: string, found: KnownToken | TokenFault) => Verdict

interface Settings {
  readonly forward_token: boolean
}

/** Makes the end of a step that checks tokens: it is the same however the step finds out what a token is worth. */
export function judging(
  { forward_token }: Settings,
  { consumers, services }: Pick<Deps, 'consumers' | 'services'>,
  identify: Identify,
  reader: CredentialReader,
  refusals: Refusals,
): Judge {
  const { revocations } = services
  const revoked = refusals.of(new TokenFault('invalid', 'token_revoked'))

  return (ctx, token, found) => {
    if (ctx.aborted) return undefined
    if (found instanceof TokenFault) return refusals.of(found)
    const identity = found.identity(consumers, identify)
    if (identity instanceof TokenFault) return refusals.of(identity)
    if (found.isRevoked(revocations)) return revoked
    if (!identity.inScope) return refusals.scope
    if (!forward_token) reader.remove(ctx)
    injectIdentity(ctx, identity.headers)
    ctx.consumer ??= identity.consumer
    ctx.claims = ctx.claims === null ? found.claims : { ...found.claims, ...ctx.claims }
    ctx.token ??= token
    return undefined
  }
}

/** A token in the same place may be the one that another plugin has found good, and forwards. */
export function withholdToken(ctx: AccessContext, reader: CredentialReader): void {
  const token = reader.read(ctx)
  if (token !== null && token !== ctx.token) reader.remove(ctx)
}
