export type MetricType = 'counter' | 'gauge' | 'histogram'

/** Label names and values, flat. */
export type Labels = readonly string[]

/** Writes the Prometheus text format, version 0.0.4. */
export class Exposition {
  #text = ''
  #head = ''

  /** Begins a metric. It appears with its first sample. */
  metric(name: string, type: MetricType, help: string): void {
    this.#head = `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`
  }

  sample(name: string, labels: Labels, value: number): void {
    this.#text += this.#head
    this.#head = ''
    this.#text += `${name}${labelText(labels)} ${numberText(value)}\n`
  }

  /** A metric that has one sample. */
  single(name: string, type: MetricType, help: string, value: number): void {
    this.metric(name, type, help)
    this.sample(name, [], value)
  }

  toString(): string {
    return this.#text
  }
}

function labelText(labels: Labels): string {
  if (labels.length === 0) return ''
  let text = '{'
  for (let i = 0; i < labels.length; i += 2)
    text += `${i === 0 ? '' : ','}${labels[i]}="${escapeLabel(labels[i + 1] as string)}"`
  return `${text}}`
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
