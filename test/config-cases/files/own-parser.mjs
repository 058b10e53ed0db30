/** Brings no zod, only a function. */
export default {
  name: 'own-parser',
  summary: 'Parses by hand.',
  class: 'traffic',
  priority: 1,
  schema: {
    parse(input) {
      if (typeof input.limit !== 'number') throw new Error('limit must be a number')
      return input
    },
  },
  create: () => ({}),
}
