/** Where a command reads secrets: never its arguments, which other users of the machine can see. */
export interface Input {
  /** A person types. */
  readonly terminal: boolean
  /** One line from the terminal, which does not show it; `null` when it was broken off. */
  ask(question: string): Promise<string | null>
  /** All that comes, without the line break at its end. Throws when that is too much. */
  readAll(): Promise<string>
}

/** Characters of a secret. */
const longest = 65_536

/** The process's own standard input. */
export const processInput: Input = {
  get terminal() {
    return process.stdin.isTTY === true
  },
  ask,
  async readAll() {
    let text = ''
    for await (const chunk of process.stdin.setEncoding('utf8')) {
      text += chunk
      if (text.length > longest) throw new Error('there is more on standard input than any secret has')
    }
    return text.replace(/\r?\n$/, '')
  },
}

const enter = new Set(['\r', '\n', '\u0004'])
const erase = new Set(['\u0008', '\u007f'])
const interrupt = '\u0003'

function ask(question: string): Promise<string | null> {
  const { stdin, stderr } = process
  stderr.write(question)
  stdin.setRawMode(true).setEncoding('utf8').resume()
  return new Promise((resolve) => {
    let text = ''
    const end = (answer: string | null): void => {
      stdin.off('data', take).setRawMode(false).pause()
      stderr.write('\n')
      resolve(answer)
    }
    const take = (typed: string): void => {
      // What is pasted comes at once.
      for (const character of typed) {
        if (character === interrupt) return end(null)
        if (enter.has(character)) return end(text)
        if (erase.has(character)) text = Array.from(text).slice(0, -1).join('')
        else text += character
      }
    }
    stdin.on('data', take)
  })
}
