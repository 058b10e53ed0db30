/**
 * A bounded load against the demo, with objectives: `npm run loadtest -- [scenario] [--seconds N]`.
 *
 * Exit 0 when every objective of loadtest/objectives.json is met, 1 otherwise. Numbers of one machine under one load:
 * they say whether something broke, not how fast the gateway is (that is `npm run bench`).
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { steady } from './steady.mjs'

const scenarios = { steady }

const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '20' } },
  allowPositionals: true,
})
const name = positionals[0] ?? 'steady'
const seconds = Number(values.seconds)
if (!(name in scenarios) || !(seconds >= 1 && seconds <= 600)) {
  console.error(`usage: npm run loadtest -- [${Object.keys(scenarios).join(' | ')}] [--seconds 1…600]`)
  process.exit(2)
}

const objectives = JSON.parse(readFileSync(join(import.meta.dirname, 'objectives.json'), 'utf8'))[name]
console.log(`${name}: ${seconds} s`)
const measured = await scenarios[name](seconds, (line) => console.log(`  ${line}`))

let missed = 0
for (const [objective, bound] of Object.entries(objectives)) {
  const value = measured[objective]
  const met = isMet(objective, value, bound)
  if (!met) missed++
  console.log(`${met ? 'pass' : 'FAIL'}  ${objective} ${bound}: ${value}`)
}
process.exit(missed === 0 ? 0 : 1)

/** What was not measured is not met. */
function isMet(objective, value, bound) {
  if (typeof value !== 'number') return false
  if (objective.endsWith('_at_least')) return value >= bound
  if (objective.endsWith('_at_most')) return value <= bound
  return value === bound
}
