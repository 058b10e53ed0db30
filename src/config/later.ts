/** Plugins that Kong's or Sluice's users know and that later versions bring. */
export const laterPlugins: readonly string[] = [
  'canary',
  'circuit-breaker',
  'mtls-auth',
  'oauth2',
  'proxy-cache',
  'request-validator',
]

/** Top-level keys that later versions know. */
export const laterKeys: readonly string[] = ['tracing']
