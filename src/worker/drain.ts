import type { Gateway } from '../proxy/gateway.ts'
import type { Log } from '../telemetry/logger.ts'

/**
 * Accepts no more, lets what is in flight end, writes out the logs. Resolves when the process may exit: after
 * `timeout` milliseconds at the latest, whatever is left then is cut.
 */
export async function drain(
  gateway: Gateway,
  timeout: number,
  closeLogs: () => Promise<void> | void,
  log: Log,
): Promise<void> {
  const inFlight = gateway.inFlight
  log.debug({ in_flight: inFlight, timeout_ms: timeout }, 'draining')
  await gateway.drain(timeout)
  if (gateway.inFlight > 0) log.warn({ cut: gateway.inFlight }, 'requests were cut at the end of the drain')
  await closeLogs()
}
