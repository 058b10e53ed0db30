/** What a plugin of your own needs. */
export { z } from 'zod'
export type { AccessContext, Consumer, LogContext, ResponseContext } from './core/context.ts'
export { paramOf } from './core/context.ts'
export type { Rejection, RejectionCode, Source } from './core/errors.ts'
export { reject, rejections } from './core/errors.ts'
export type { HeaderList } from './core/headers.ts'
export {
  appendHeader,
  getHeader,
  getHeaderJoined,
  hasHeader,
  isFieldValue,
  isToken,
  removeHeader,
  setHeader,
} from './core/headers.ts'
export type {
  AccessStep,
  ConfigSchema,
  Deps,
  Fact,
  LocalReply,
  LogStep,
  Plugin,
  PluginClass,
  PluginLog,
  ResponseStep,
  RouteFacts,
  Steps,
  Verdict,
} from './core/plugin.ts'
export { ConfigFault, definePlugin } from './core/plugin.ts'
export { parseDuration, parseSize } from './core/units.ts'
