import type { Plugin } from '../core/plugin.ts'
import { acl } from './acl/plugin.ts'
import { basicAuth } from './basic-auth/plugin.ts'
import { correlationId } from './correlation-id/plugin.ts'
import { cors } from './cors/plugin.ts'
import { forwardAuth } from './forward-auth/plugin.ts'
import { hmacAuth } from './hmac-auth/plugin.ts'
import { ipRestriction } from './ip-restriction/plugin.ts'
import { jwt } from './jwt/plugin.ts'
import { keyAuth } from './key-auth/plugin.ts'
import { oauth2Introspection } from './oauth2-introspection/plugin.ts'
import { rateLimiting } from './rate-limiting/plugin.ts'
import { requestSizeLimiting } from './request-size-limiting/plugin.ts'
import { requestTermination } from './request-termination/plugin.ts'
import { requestTransformer } from './request-transformer/plugin.ts'
import { responseTransformer } from './response-transformer/plugin.ts'
import { securityHeaders } from './security-headers/plugin.ts'
import { tokenExchange } from './token-exchange/plugin.ts'

/** Every plugin, in the order in which a request meets them: the only ordering there is, for all phases alike. */
export const plugins: readonly Plugin[] = [
  correlationId,
  cors,
  ipRestriction,
  jwt,
  keyAuth,
  basicAuth,
  hmacAuth,
  oauth2Introspection,
  forwardAuth,
  acl,
  rateLimiting,
  tokenExchange,
  requestSizeLimiting,
  requestTransformer,
  responseTransformer,
  securityHeaders,
  requestTermination,
]
