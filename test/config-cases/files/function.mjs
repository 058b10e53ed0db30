/** Its schema makes something that can't travel to the workers. */
export default {
  name: 'function',
  summary: 'Parses into a function.',
  class: 'traffic',
  priority: 1,
  schema: { parse: () => () => undefined },
  create: () => ({}),
}
