/** A key of the demo: its hash stands in sluice.yaml. */
const key = 'sk_demo_tour_ivRJ444WjdHrZnM6dl12bcFHmKEfF7rKXwdehQgtSDZ23tJqS'

/** What to try once the demo runs: a command, what it shows, and what its output must hold (checked in CI). */
export function tour(gateway, admin) {
  return [
    {
      shows: 'strip_path: outside /api/users/1, inside /users/1; request id, Via and an added field reach the service',
      command: `curl -i ${gateway}/api/users/1`,
      expects: /^HTTP\/1\.1 200 [^]*x-request-id: [^]*"name":"Ada"[^]*"url":"\/users\/1"[^]*"gateway":"sluice"/,
    },
    {
      shows: 'an answer that no service gave',
      command: `curl -i ${gateway}/healthz`,
      expects: /^HTTP\/1\.1 200 [^]*OK/,
    },
    {
      shows: 'a CORS preflight, answered at the gateway',
      command: `curl -i -X OPTIONS -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: GET' ${gateway}/api/users/1`,
      expects: /^HTTP\/1\.1 20[04] [^]*access-control-allow-origin: https:\/\/app\.example\.com/,
    },
    {
      shows: 'a body over the limit of this route (1 kB)',
      command: `head -c 2000 /dev/zero | curl -i --data-binary @- ${gateway}/api/orders`,
      expects: /^HTTP\/1\.1 413 [^]*"error":"body_too_large"/,
    },
    {
      shows: 'a method that no route of this path takes: 405 with Allow',
      command: `curl -i -X DELETE ${gateway}/api/orders`,
      expects: /^HTTP\/1\.1 405 [^]*allow: [^]*"error":"method_not_allowed"/,
    },
    {
      shows: 'an address that is not let in',
      command: `curl -i ${gateway}/api/reports`,
      expects: /^HTTP\/1\.1 403 [^]*"error":"ip_forbidden"/,
    },
    {
      shows: 'a route for those who have a key: without one 401',
      command: `curl -i ${gateway}/api/partners/orders`,
      expects: /^HTTP\/1\.1 401 [^]*www-authenticate: [^]*"error":"credentials_missing"/,
    },
    {
      shows: 'with the key: the service learns who calls, and never sees the key',
      command: `curl -i -H 'X-API-Key: ${key}' ${gateway}/api/partners/orders`,
      expects: /^HTTP\/1\.1 200 [^]*x-ratelimit-remaining: \d/,
    },
    {
      shows: 'five requests in ten seconds, and then 429 with the time to wait',
      command: `for i in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{http_code} ' -H 'X-API-Key: ${key}' ${gateway}/api/partners/orders; done`,
      expects: /429/,
    },
    {
      shows: "the gateway's own figures",
      command: `curl -s ${admin}/metrics`,
      expects: /^# HELP sluice_/m,
    },
  ]
}
