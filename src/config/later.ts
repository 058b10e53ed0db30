/** Plugins that Kong's or Sluice's users know and that later versions bring. */
export const laterPlugins: readonly string[] = [
  'acl',
  'basic-auth',
  'canary',
  'circuit-breaker',
  'forward-auth',
  'hmac-auth',
  'jwt',
  'key-auth',
  'mtls-auth',
  'oauth2',
  'oauth2-introspection',
  'proxy-cache',
  'rate-limiting',
  'request-validator',
  'token-exchange',
]

/** Top-level keys that later versions know. */
export const laterKeys: readonly string[] = ['tracing']
