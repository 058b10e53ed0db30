/**
 * Fields that clients rightly send everywhere. A service that answers with one of them replaces it on its own routes; it does not
 * become a field that is taken away from all clients.
 */
export const clientFields: ReadonlySet<string> = new Set([
  'accept',
  'accept-encoding',
  'accept-language',
  'apikey',
  'authorization',
  'cache-control',
  'content-type',
  'cookie',
  'origin',
  'referer',
  'user-agent',
  'x-api-key',
])
