/** The users service: sees `/users/…`, whatever the gateway calls it outside. */
import { service } from './service.mjs'

const users = new Map([
  ['1', { id: 1, name: 'Ada' }],
  ['2', { id: 2, name: 'Grace' }],
])

export default service('users', {
  'GET /users': () => [200, { users: [...users.values()] }],
  'GET /users/{id}': (id) => (users.has(id) ? [200, { user: users.get(id) }] : [404, { error: `no user ${id}` }]),
})
