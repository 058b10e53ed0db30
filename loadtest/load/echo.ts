/** Makes an answer about as long as those of real services. */
const padding = 'all work and no play makes a dull gateway. '.repeat(4).trim()

/** What the origin answers: it says whose answer to what this is, so that one that went astray is noticed. */
export function echoOf(number: string, caller: string): string {
  return `{"n":"${number}","caller":"${caller}","text":"${padding}"}`
}
