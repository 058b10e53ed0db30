import type { Plugin } from '../core/plugin.ts'
import { correlationId } from './correlation-id/plugin.ts'
import { cors } from './cors/plugin.ts'
import { ipRestriction } from './ip-restriction/plugin.ts'
import { requestSizeLimiting } from './request-size-limiting/plugin.ts'
import { requestTermination } from './request-termination/plugin.ts'
import { requestTransformer } from './request-transformer/plugin.ts'
import { responseTransformer } from './response-transformer/plugin.ts'
import { securityHeaders } from './security-headers/plugin.ts'

/** Every plugin, in the order in which a request meets them: the only ordering there is, for all phases alike. */
export const plugins: readonly Plugin[] = [
  correlationId,
  cors,
  ipRestriction,
  requestSizeLimiting,
  requestTransformer,
  responseTransformer,
  securityHeaders,
  requestTermination,
]
